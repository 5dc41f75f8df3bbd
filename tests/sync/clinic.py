"""A clinic with one HL7 v2 feed, and its messages, for the tests of commands."""

from __future__ import annotations

CONFIG = """\
enterprises:
  clinic:
    display_name: Clinic
    sync_contact_preferences: true
    default_region: US
sources:
  adt:
    enterprise: clinic
    display_name: Clinic ADT
    adapter: hl7v2.mllp
    listen: 127.0.0.1:0
    patient_id: {authority: CLINIC, type: MR}
    freshness: never
    mapping:
      do_not_contact: {from: ZCP-2, values: {DNC: yes, OK: no}}
      consent.sms: {from: PD1-11.1, values: {"02": granted, "01": denied}}
"""
KEYS = f"payload_keys: {{current: k1, keys: {{k1: {'4b' * 32}}}}}\n"
ADT = (
    "MSH|^~\\&|EMR|CLINIC|SYNC|X|20261101083000-0500||ADT^A08|{control}|P|2.5\r"
    "EVN|A08|20261101083000-0500\r"
    "PID|1||{mrn}^^^CLINIC^MR||Invented^Person||19800101|F|||||^PRN^CP^^1^217^5550123||en\r"
    "PD1|||||||||||{publicity}\r"
    "ZCP|1|{dnc}\r"
)


def adt(mrn: str = "MRN1", *, dnc: str = "DNC", publicity: str = "02", control: str = "C1") -> str:
    return ADT.format(mrn=mrn, dnc=dnc, publicity=publicity, control=control)
