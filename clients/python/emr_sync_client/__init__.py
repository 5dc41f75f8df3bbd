"""The client for senders of emr-sync. One rule above all: **no answer means do not send.**"""

from emr_sync_client.asynchronous import AsyncSenderClient
from emr_sync_client.client import SenderClient
from emr_sync_client.model import DO_NOT_SEND, SEND, Appointment, Ask, Decision, Who
from emr_sync_client.replica import Replica

__all__ = ["DO_NOT_SEND", "SEND", "Appointment", "Ask", "AsyncSenderClient", "Decision", "Replica", "SenderClient", "Who"]
