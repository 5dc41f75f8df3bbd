from __future__ import annotations

import textwrap
from datetime import timedelta
from pathlib import Path

import pytest

from adapters.rehearsal.token import ClientKey
from store.domain.policies import Policy
from store.runs.encryption import new_key
from sync.config import ConfigError, Settings, chosen, inspect, load

ENTERPRISE = "enterprises: {e: {sync_contact_preferences: true, default_region: US}}\n"
TOP = f"database: sqlite:///x.db\n{ENTERPRISE}"
MLLP = "sources:\n  adt:\n    enterprise: e\n    adapter: hl7v2.mllp\n    listen: 127.0.0.1:0\n"
FHIR = "sources:\n  fhir:\n    enterprise: e\n    adapter: fhir.rest\n    base_url: https://ehr.example/r4\n"


@pytest.fixture
def written(tmp_path: Path):
    def write(text: str) -> Path:
        file = tmp_path / "config.yaml"
        file.write_text(textwrap.dedent(text))
        return file

    return write


def mistakes(file: Path, **environ: str) -> list[tuple[int, str, str]]:
    return [(one.line, one.where, one.message) for one in inspect(file, environ).mistakes if not one.warning]


def only_mistake(file: Path, **environ: str) -> tuple[int, str, str]:
    (found,) = mistakes(file, **environ)
    return found


def rules(settings: Settings, source: str = "adt") -> dict[str, dict[str, object]]:
    return {name: dict(rule) for name, rule in settings.feeds[source].settings.mapping.items()}


EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"
EXAMPLE_ENVIRONMENT: dict[str, str] = {
    "ATHENA_SECRET": "x",
    "CLINIC_TOKEN": "x",
    "GENHOSP_SFTP_PASSWORD": "x",
    "GENHOSP_PUSH_SECRET": "x" * 32,
    "OPENID_SECRET": "x",
    "EMR_SYNC_ALERTS": "jsons://alerts.example/emr-sync",
    **dict.fromkeys(("TWILIO_AUTH_TOKEN", "TWILIO_SHARED_KEY", "VONAGE_SIGNATURE_SECRET"), "x"),
    **dict.fromkeys(("BANDWIDTH_PASSWORD", "SINCH_PASSWORD"), "x"),
    "GENHOSP_PRIVATE_KEY": ClientKey("RS384").private_pem,
    "EMR_SYNC_PAYLOAD_KEY": new_key(),
    "DIALER_SFTP_PASSWORD": "x",
    "CAMPAIGN_WEBHOOK_SECRET": "whsec_" + "MDEy" * 8,
}


def test_the_example_configuration_loads(tmp_path: Path) -> None:
    reading = inspect(EXAMPLE, EXAMPLE_ENVIRONMENT)
    assert reading.mistakes == ()
    assert reading.settings is not None
    assert list(reading.settings.feeds) == [
        "genhosp-adt",
        "genhosp-drop",
        "genhosp-bulk",
        "genhosp-sftp",
        "genhosp-extract",
        "genhosp-fhir",
        "genhosp-athena",
        "genhosp-clinic",
    ]


def test_defaults_match_the_example(written) -> None:
    settings = load(written(TOP))
    assert (str(settings.listen), settings.batch_size, settings.logs.level) == ("127.0.0.1:8080", 1000, "info")
    assert (settings.backoff.attempts, settings.backoff.first_wait, settings.backoff.longest_wait) == (
        5,
        timedelta(seconds=2),
        timedelta(minutes=5),
    )
    enterprise = settings.enterprises["e"]
    assert enterprise.policy == Policy("flag", "refuse", appointment_may_lift_dnc=False, staff_may_record_opt_in=False)
    assert (settings.safeguards["e"].floor, settings.safeguards["e"].percent) == (50, 5)


def test_every_policy_has_its_configured_value(written) -> None:
    policy = (
        "{when_stale: refuse, when_unreadable: flag, when_preferred_impossible: next,"
        " appointment_may_lift_dnc: yes, staff_may_record_opt_in: yes}"
    )
    settings = load(written(TOP.replace("default_region: US", f"policy: {policy}")))
    assert settings.enterprises["e"].policy == Policy("refuse", "flag", "next", appointment_may_lift_dnc=True, staff_may_record_opt_in=True)


def test_all_errors_are_reported_at_once_in_line_order(written) -> None:
    file = written("""\
        database: sqlite:///x.db
        apy: {listen: 127.0.0.1:0}
        enterprises:
          e:
            sync_contact_preferences: true
            do_not_contact_toggle: true
            policy: {when_stale: flap}
          f:
            sync_contact_preferences: true
            do_not_contact_toggle: true
        sources:
          adt:
            enterprise: g
            adapter: hl7v2.mlp
            listen: 127.0.0.1:0
          fhir:
            enterprise: f
            adapter: fhir.rest
            freshness: 26
        """)
    found = mistakes(file)
    assert [(line, where) for line, where, _ in found] == [
        (2, "apy"),
        (6, "enterprises.e.do_not_contact_toggle"),
        (7, "enterprises.e.policy.when_stale"),
        (10, "enterprises.f.do_not_contact_toggle"),
        (13, "sources.adt.enterprise"),
        (14, "sources.adt.adapter"),
        (16, "sources.fhir.base_url"),
        (19, "sources.fhir.freshness"),
    ]
    assert "Did you mean 'api'" in found[0][2]
    assert "Did you mean 'flag'" in found[2][2]
    assert "Did you mean 'hl7v2.mllp'" in found[5][2]


def test_the_toggle_cannot_be_enabled_while_preferences_are_synced(written) -> None:
    file = written("database: sqlite:///x.db\nenterprises:\n  e:\n    sync_contact_preferences: true\n    do_not_contact_toggle: true\n")
    line, where, message = only_mistake(file)
    assert (line, where) == (5, "enterprises.e.do_not_contact_toggle")
    assert "set one of them to false" in message


def test_a_misspelt_adapter_setting_is_an_error_that_suggests_the_right_name(written) -> None:
    line, where, message = only_mistake(written(TOP + MLLP + "    max_conections: 7\n"))
    assert (line, where) == (8, "sources.adt.max_conections")
    assert "Did you mean 'max_connections'" in message


def test_an_unknown_enterprise_is_an_error(written) -> None:
    line, where, message = only_mistake(written((TOP + MLLP).replace("enterprise: e", "enterprise: ee")))
    assert (line, where) == (5, "sources.adt.enterprise")
    assert "Did you mean 'e'" in message


def test_an_unknown_preset_is_an_error(written) -> None:
    _, where, message = only_mistake(written(TOP + MLLP + "    preset: hl7v2-standart\n"))
    assert where == "sources.adt.preset"
    assert "Did you mean 'hl7v2-standard'" in message


def test_a_preset_for_another_protocol_is_an_error(written) -> None:
    _, where, message = only_mistake(written(TOP + MLLP + "    preset: fhir-standard\n"))
    assert where == "sources.adt.preset"
    assert "is for fhir adapters" in message


def test_every_rule_that_does_not_compile_is_reported_with_its_line(written) -> None:
    found = mistakes(
        written(
            TOP
            + MLLP
            + """\
    mapping:
      do_not_contact: {from: ZCP, values: {A: yes}}
      preferred_method: {from: ZCP-3, values: {T: smoke}}
      consent.sms: {from: ZCP-4, values: {Y: granted}, on_absent: granted}
      favourite_colour: {from: ZCP-5}
"""
        )
    )
    assert [(line, where.removeprefix("sources.adt.mapping.")) for line, where, _ in found] == [
        (9, "do_not_contact"),
        (10, "preferred_method"),
        (11, "consent.sms.on_absent"),
        (12, "favourite_colour"),
    ]


def test_yaml_words_in_a_mapping_keep_their_text(written) -> None:
    settings = load(
        written(
            TOP
            + MLLP
            + """\
    mapping:
      do_not_contact: {from: ZCP-2, values: {Y: yes, N: no, true: yes, off: no, 02: yes}}
      preferred_method: {from: ZCP-3, values: {no: none, on: sms}}
"""
        )
    )
    assert rules(settings)["do_not_contact"]["values"] == {"Y": "yes", "N": "no", "true": "yes", "off": "no", "02": "yes"}
    assert rules(settings)["preferred_method"]["values"] == {"no": "none", "on": "sms"}


def test_site_rules_override_preset_rules(written) -> None:
    preset = FHIR + "    preset: oracle-health\n"
    of_preset = rules(load(written(TOP + preset)), "fhir")
    assert of_preset, "this preset must have rules"
    attribute = next(iter(of_preset))
    path = "Patient.extension('http://site.example/own').valueCode"
    own = rules(load(written(TOP + preset + f'    mapping:\n      {attribute}: {{from: "{path}"}}\n')), "fhir")
    assert own[attribute]["from"] == path
    assert own.keys() == of_preset.keys()


def test_secrets_are_read_from_the_environment_and_from_files(written, tmp_path: Path) -> None:
    (tmp_path / "token.txt").write_text("from-a-file\n")
    file = written(TOP + FHIR + "    auth: {kind: bearer, token: file:token.txt}\n")
    assert load(file, {}).feeds["fhir"].settings.options["auth"]["token"] == "from-a-file"
    file = written(TOP + FHIR + "    auth: {kind: bearer, token: '${EMR_TOKEN}'}\n")
    assert load(file, {"EMR_TOKEN": "from-env"}).feeds["fhir"].settings.options["auth"]["token"] == "from-env"


def test_a_missing_secret_is_an_error_that_names_it(written) -> None:
    line, where, message = only_mistake(written(TOP + FHIR + "    auth:\n      kind: bearer\n      token: ${EMR_TOKEN}\n"))
    assert (line, where) == (10, "sources.fhir.auth.token")
    assert "EMR_TOKEN is not set" in message
    assert "cannot be read" in only_mistake(written(TOP + FHIR + "    auth: {kind: bearer, token: file:nowhere.txt}\n"))[2]


def test_a_plaintext_secret_is_a_warning_that_does_not_show_it(written) -> None:
    reading = inspect(written(TOP.replace("sqlite:///x.db", "postgresql+psycopg://me:hunter2@db/x")), {})
    assert reading.settings is not None
    (warning,) = reading.mistakes
    assert warning.warning
    assert "hunter2" not in str(warning)


def test_a_duplicate_setting_is_an_error(written) -> None:
    line, where, message = only_mistake(written(TOP + "batch_size: 5\nbatch_size: 6\n"))
    assert (line, where) == (4, "batch_size")
    assert "first on line 3" in message


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("{every: 15m, cron: '* * * * *'}", "write one of them"),
        ("{}", "write one of them"),
        ("{every: soon}", "not a duration"),
        ("{cron: '0 25 * * *'}", "hour: '25'"),
    ],
)
def test_an_impossible_schedule_is_an_error(written, schedule: str, expected: str) -> None:
    assert expected in only_mistake(written(TOP + FHIR + f"    schedule: {schedule}\n"))[2]


def test_a_listener_has_no_schedule(written) -> None:
    assert "receives messages" in only_mistake(written(TOP + MLLP + "    schedule: {every: 15m}\n"))[2]


def test_an_alias_of_two_issuers_is_an_error(written) -> None:
    file = written("database: sqlite:///x.db\nenterprises: {e: {authorities: {A: [x, y], B: [x]}}}\n")
    assert "is already an alias of A" in only_mistake(file)[2]


def test_aliases_resolve_to_the_canonical_issuer(written) -> None:
    settings = load(written((TOP + MLLP).replace("default_region: US", "authorities: {GENHOSP: ['urn:oid:1.2.3']}")))
    assert settings.enterprises["e"].authorities == {"urn:oid:1.2.3": "GENHOSP"}
    assert settings.feeds["adt"].settings.authorities == {"urn:oid:1.2.3": "GENHOSP"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", "missing"), ("- a\n- b\n", "has no settings"), ("a: [1\n", "invalid YAML"), ("a: b: c\n", "invalid YAML")],
)
def test_a_file_that_is_not_a_configuration_is_an_error(written, text: str, expected: str) -> None:
    assert expected in mistakes(written(text))[0][2]


def test_a_missing_file_is_an_error_that_says_how_to_name_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name it with -c, or in EMR_SYNC_CONFIG"):
        load(tmp_path / "none.yaml", {})


def test_the_given_file_overrides_the_environment_which_overrides_the_local_file() -> None:
    environ = {"EMR_SYNC_CONFIG": "/etc/emr.yaml"}
    assert chosen("mine.yaml", environ) == Path("mine.yaml")
    assert chosen(None, environ) == Path("/etc/emr.yaml")
    assert chosen(None, {}) == Path("config.yaml")


def test_a_relative_database_path_starts_at_the_configuration_folder(written, tmp_path: Path) -> None:
    assert load(written(TOP)).database == f"sqlite:///{tmp_path / 'x.db'}"


def test_sources_keep_their_configured_order(written) -> None:
    sources = MLLP + MLLP.replace("sources:\n", "").replace("adt:", "abc:")
    assert [source.name for source in load(written(TOP + sources)).enterprises["e"].sources] == ["adt", "abc"]


def test_a_source_has_its_own_codes_and_languages(written) -> None:
    contact = "    contact: {use: {ZZ: cell}, remarks: {nicht anrufen: no_calls}, placeholders: [kein@*]}\n    languages: {NO: nb}\n"
    settings = load(written(TOP + MLLP + contact), {}).feeds["adt"].settings
    assert settings.contact == {"use": {"ZZ": "cell"}, "remarks": {"nicht anrufen": "no_calls"}, "placeholders": ["kein@*"]}
    assert settings.languages == {"NO": "nb"}


@pytest.mark.parametrize(
    ("setting", "where"),
    [
        ("contact: {use: {ZZ: mobil}}", "sources.adt.contact.use.ZZ"),
        ("contact: {remarks: {x: refuse}}", "sources.adt.contact.remarks.x"),
        ("contact: {uses: {}}", "sources.adt.contact.uses"),
        ("languages: {ZZ: karenish}", "sources.adt"),
    ],
)
def test_a_code_with_an_unknown_meaning_is_an_error(written, setting: str, where: str) -> None:
    _, found, message = only_mistake(written(f"{TOP}{MLLP}    {setting}\n"))
    assert found == where, message


def scope(written, *settings: str) -> list[tuple[int, str, str]]:
    return mistakes(written("database: sqlite:///x.db\nenterprises:\n  e:\n" + "".join(f"    {one}\n" for one in settings)))


def test_the_former_name_of_the_scope_of_a_stop_is_an_error_that_says_what_to_write(written) -> None:
    ((line, where, message),) = scope(written, "revoke_all_from: 2027-01-31")
    assert (line, where) == (4, "enterprises.e.revoke_all_from")
    assert "'revocation_scope: line' and 'revocation_scope_until: 2027-01-31'" in message
    assert len(scope(written, "revoke_all_from: [soon]")) == 1


@pytest.mark.parametrize(
    ("settings", "where", "expected"),
    [
        (["revocation_scope: topic"], "revocation_scope", "Use one of: all, category, line"),
        (["revocation_scope_from: soon"], "revocation_scope_from", "2027-01-31"),
        (["revocation_scope_from: 2027-01-02", "revocation_scope_until: 2027-01-02"], "revocation_scope_until", "must be later"),
    ],
)
def test_a_scope_that_cannot_be_used_is_an_error(written, settings: list[str], where: str, expected: str) -> None:
    ((_, found, message),) = scope(written, *settings)
    assert found == f"enterprises.e.{where}"
    assert expected in message


def test_without_a_scope_a_stop_ends_all_texts(written) -> None:
    assert load(written(TOP)).enterprises["e"].policy.revocation_scope == "all"
