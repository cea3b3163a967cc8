"""What the actors need from the outside world, as protocols, and the one error that means "not now".

Adapters translate their library's exceptions into `Unavailable` at the border, always `from` the original.
Every method here has a deadline inside its adapter: none may wait for ever.
"""

from service.ports.cluster import ClusterRow, ClusterWitness, Recalled, Seen
from service.ports.coordination import AcceptedKeys, Locks
from service.ports.delivery_queue import Delivery, DeliveryQueue, QueueDepth
from service.ports.email import CircuitState, EmailService, Greeting, RateLimit
from service.ports.errors import CircuitOpen, EmailTaken, Emptied, NotAdopted, Replaced, Unavailable, UserChanged
from service.ports.history import History, Message, MessageFilter, PastAttempt, Timeline
from service.ports.messages import Claim, Claimed, Due, Messages, Moved, PoolState, Pulse, Recorded, Result
from service.ports.nodes import NodeBeat, Nodes
from service.ports.planning import Day, OccasionRow, Planned, Planning, PlanRange, Wanted
from service.ports.preview import Candidate, Load, Person, PersonalDay, Previews, Windows
from service.ports.requests import Allowance, Idempotency, KeptAnswer, KeptAnswers, RequestRate, Reserved
from service.ports.streams import Entry, Requeued, StreamState, WorkStream
from service.ports.users import Users
from service.ports.zone_data import Followed, Shifted, UnsentDay, ZoneData

__all__ = [
    "AcceptedKeys",
    "Allowance",
    "Candidate",
    "CircuitOpen",
    "CircuitState",
    "Claim",
    "Claimed",
    "ClusterRow",
    "ClusterWitness",
    "Day",
    "Delivery",
    "DeliveryQueue",
    "Due",
    "EmailService",
    "EmailTaken",
    "Emptied",
    "Entry",
    "Followed",
    "Greeting",
    "History",
    "Idempotency",
    "KeptAnswer",
    "KeptAnswers",
    "Load",
    "Locks",
    "Message",
    "MessageFilter",
    "Messages",
    "Moved",
    "NodeBeat",
    "Nodes",
    "NotAdopted",
    "OccasionRow",
    "PastAttempt",
    "Person",
    "PersonalDay",
    "PlanRange",
    "Planned",
    "Planning",
    "PoolState",
    "Previews",
    "Pulse",
    "QueueDepth",
    "RateLimit",
    "Recalled",
    "Recorded",
    "Replaced",
    "RequestRate",
    "Requeued",
    "Reserved",
    "Result",
    "Seen",
    "Shifted",
    "StreamState",
    "Timeline",
    "Unavailable",
    "UnsentDay",
    "UserChanged",
    "Users",
    "Wanted",
    "Windows",
    "WorkStream",
    "ZoneData",
]
