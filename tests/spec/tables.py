"""All tables of decisions, in the order of the document."""

from __future__ import annotations

from tests.spec.automations import APPOINTMENT, METHOD, POLICIES
from tests.spec.channels import CONSENT, MESSAGE_CHECKS, NUMBERS, SKIPS
from tests.spec.messages import MESSAGES, WORKED_EXAMPLE

TABLES = (WORKED_EXAMPLE, MESSAGES, MESSAGE_CHECKS, SKIPS, NUMBERS, METHOD, APPOINTMENT, CONSENT, POLICIES)
