"""RabbitMQ: the durable queue that hands bundles of message ids to the nodes.

`link.py` is one connection, `topology.py` what stands in the broker, `consumer.py` one consumer and what it was handed,
`queue.py` the `DeliveryQueue` made of them.
"""

from service.adapters.rabbitmq.queue import RabbitMQDeliveryQueue

__all__ = ["RabbitMQDeliveryQueue"]
