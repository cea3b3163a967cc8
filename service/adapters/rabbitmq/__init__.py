"""RabbitMQ: the durable queue that hands bundles of message ids to the nodes.

`link.py` is one connection, `topology.py` the queues in the broker, `cluster.py` their owner, `consumer.py` one
consumer, `dead_letters.py` the count of dead letters, and `queue.py` the `DeliveryQueue` that uses them.
"""

from service.adapters.rabbitmq.queue import RabbitMQDeliveryQueue

__all__ = ["RabbitMQDeliveryQueue"]
