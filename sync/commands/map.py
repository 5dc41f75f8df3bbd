"""``map``: lines for a source's configuration, from the codes in sample files that it does not know. Needs no database."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from sync.commands import configured, output
from sync.commands.configured import SourceName
from sync.commands.output import AsJson
from sync.sources import adapter, feed, payloads
from sync.unknown_codes import LEAST, NO_RULE, OPEN, SeenCode, Survey, lines


def map_codes(
    context: typer.Context,
    source: SourceName,
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Files or folders with sample messages or resources.", exists=True)],
    least: Annotated[
        int, typer.Option(help="Show codes that at least this many patients have. Lower it only for invented samples.", min=1)
    ] = LEAST,
    as_json: AsJson = False,
) -> None:
    """Propose lines for a source's configuration, for codes in sample files that it does not know. A person decides what they mean."""
    known = feed(configured.settings(context), source)
    reader, survey = adapter(known), Survey(least)
    with output.progress("reading samples") as on_progress:
        for number, payload in enumerate(payloads(reader, files), 1):
            survey.add(reader.mapper.explain(payload))
            on_progress(number, None)
    seen = survey.seen()
    proposed = list(lines(seen, known.settings))
    if as_json:
        codes = [{**one.place._asdict(), "codes": one.codes, "hidden": one.hidden} for one in seen]
        output.emit(
            {
                "source": source,
                "payloads": survey.payloads,
                "rejected": survey.rejected,
                "patients": len(survey.patients),
                "codes": codes,
                "lines": proposed,
            }
        )
        return
    _show(source, survey, seen, proposed)


def _show(source: str, survey: Survey, seen: Sequence[SeenCode], proposed: Sequence[str]) -> None:
    output.say(f"# {output.number(survey.payloads, 'record')} of {output.number(len(survey.patients), 'patient')} read into {source}")
    if proposed:
        output.say(
            f"# Each '# decide:' line needs a person. Find out what its codes mean, write it instead of {OPEN}, and remove '# decide: '."
        )
        output.say("# Never guess. Then put the lines below the source, instead of those for the same settings.")
    if any(NO_RULE in line for line in proposed):
        output.say(f"# {NO_RULE} is what a field is about: do_not_contact, preferred_method, consent.sms and others (docs/mapping.md).")
    for line in proposed:
        output.say(line)
    hidden = [one for one in seen if one.hidden]
    if hidden:
        output.say(f"# Not shown, because few patients have it or it may be about a person (emr-sync explain {source} FILE shows it):")
    for one in hidden:
        output.say(f"#   {one.place.path}: {output.number(one.hidden, 'value')}")
    if survey.rejected:
        output.say(f"# {output.number(survey.rejected, 'record')} rejected; emr-sync explain {source} FILE shows why")
    if not seen and survey.rejected < survey.payloads:
        output.say("# Every code is known.")
