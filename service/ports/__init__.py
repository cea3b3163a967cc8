"""The outside world as protocols, for the actors and the API, and the error that means "not now".

Adapters translate their library's exceptions into `Unavailable` at the border, always `from` the original.
Every method here has a deadline inside its adapter: none may wait for ever.
"""

from service.ports.audit import AuditAction, AuditFilter, AuditLog, AuditRecord, Principal
from service.ports.cluster import ClusterRow, ClusterWitness, Recalled, Seen
from service.ports.coordination import AcceptedKeys, Locks
from service.ports.delivery_queue import Delivery, DeliveryQueue, QueueDepth
from service.ports.email import Circuit, CircuitState, EmailService, Greeting, RateLimit
from service.ports.errors import (
    Busy,
    CircuitOpen,
    EmailTaken,
    Emptied,
    ExternalIdTaken,
    HoldRefused,
    NotAdopted,
    OccasionChanged,
    OccasionInUse,
    ReservationLost,
    RowRefused,
    RulesChanged,
    StaleFencingToken,
    Unavailable,
    UnsuitableDatabase,
    Unsupported,
    UserChanged,
    UserNotFound,
)
from service.ports.history import History, Message, MessageFilter, PastAttempt, Timeline
from service.ports.holds import Holds
from service.ports.messages import (
    Claim,
    Claimed,
    Claims,
    ClockReading,
    Due,
    Messages,
    Moved,
    PoolState,
    Recorded,
    Result,
    SetAside,
)
from service.ports.nodes import NodeBeat, NodeName, Nodes
from service.ports.occasions import OccasionEntry, Occasions
from service.ports.planning import Planned, Planning
from service.ports.preview import Candidate, Load, Person, PersonalDay, Previews, Windows
from service.ports.requests import (
    Allowance,
    CreatedUser,
    Idempotency,
    Keep,
    KeptResponse,
    RequestRate,
    Reserved,
)
from service.ports.retention import Retention
from service.ports.streams import Entry, Requeued, StreamState, WorkStream
from service.ports.suppressions import AddedSuppression, Suppressions
from service.ports.user_lists import ChangePosition, Changes, DeletedUser, UserFilter, UserLists, UsersFound
from service.ports.users import Created, UserEdit, UserEdits, Users
from service.ports.watching import EndedNode, LivingNode, MessageCount, Overview, Overviews, SharedText, Snapshots
from service.ports.zone_data import Followed, ZoneData

__all__ = [
    "AcceptedKeys",
    "AddedSuppression",
    "Allowance",
    "AuditAction",
    "AuditFilter",
    "AuditLog",
    "AuditRecord",
    "Busy",
    "Candidate",
    "ChangePosition",
    "Changes",
    "Circuit",
    "CircuitOpen",
    "CircuitState",
    "Claim",
    "Claimed",
    "Claims",
    "ClockReading",
    "ClusterRow",
    "ClusterWitness",
    "Created",
    "CreatedUser",
    "DeletedUser",
    "Delivery",
    "DeliveryQueue",
    "Due",
    "EmailService",
    "EmailTaken",
    "Emptied",
    "EndedNode",
    "Entry",
    "ExternalIdTaken",
    "Followed",
    "Greeting",
    "History",
    "HoldRefused",
    "Holds",
    "Idempotency",
    "Keep",
    "KeptResponse",
    "LivingNode",
    "Load",
    "Locks",
    "Message",
    "MessageCount",
    "MessageFilter",
    "Messages",
    "Moved",
    "NodeBeat",
    "NodeName",
    "Nodes",
    "NotAdopted",
    "OccasionChanged",
    "OccasionEntry",
    "OccasionInUse",
    "Occasions",
    "Overview",
    "Overviews",
    "PastAttempt",
    "Person",
    "PersonalDay",
    "Planned",
    "Planning",
    "PoolState",
    "Previews",
    "Principal",
    "QueueDepth",
    "RateLimit",
    "Recalled",
    "Recorded",
    "RequestRate",
    "Requeued",
    "ReservationLost",
    "Reserved",
    "Result",
    "Retention",
    "RowRefused",
    "RulesChanged",
    "Seen",
    "SetAside",
    "SharedText",
    "Snapshots",
    "StaleFencingToken",
    "StreamState",
    "Suppressions",
    "Timeline",
    "Unavailable",
    "UnsuitableDatabase",
    "Unsupported",
    "UserChanged",
    "UserEdit",
    "UserEdits",
    "UserFilter",
    "UserLists",
    "UserNotFound",
    "Users",
    "UsersFound",
    "Windows",
    "WorkStream",
    "ZoneData",
]
