"""The ``sources`` part: common settings, the adapter's own, the preset below the site's mapping, and every rule compiled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from adapters.base import AdapterError, SourceSettings
from adapters.mapping.identifiers import folded
from adapters.mapping.rules import MappingError
from adapters.registry import ADAPTERS, FOLDERS, LISTENERS, schema
from store.domain.attributes import ATTRIBUTES
from store.domain.enterprise import Source
from store.preference import issuer, issuers
from sync.config import presets
from sync.config.check import checked
from sync.config.document import Document
from sync.config.enterprises import aliases, linking
from sync.config.model import EnterprisePart, PresetPart, RulePart, SourcePart
from sync.config.places import placed
from sync.config.problems import Path, dotted, one_of
from sync.config.scalars import is_attribute, is_mapped
from sync.config.scheduling import schedule
from sync.config.settings import ConfiguredSource, ConfiguredWriteBack
from sync.config.write_back import CONSENT, PATIENT, WORKLIST, WriteBackPart

Build = Callable[[SourceSettings], object]
"""Makes the adapter of a source. ``MappingError``, ``ValueError`` and others say what is wrong with its settings."""
OWN = frozenset(SourcePart.model_fields)


class WrittenSource(NamedTuple):
    """One source as it was read: the common settings and its adapter's own."""

    part: SourcePart
    rules: Mapping[str, RulePart]
    options: Mapping[str, Any]
    preset: PresetPart | None


def read_sources(document: Document, data: Any) -> dict[str, WrittenSource]:
    """Every valid source, in the order written."""
    if data is not None and not isinstance(data, dict):
        document.mistake(("sources",), "must be a group of sources; indent each below it, as 'name:' with its settings indented further")
        return {}
    found = {name: _read(document, ("sources", name), source) for name, source in placed(document, "sources", data or {}).items()}
    return {name: source for name, source in found.items() if source is not None}


def _read(document: Document, path: Path, data: Any) -> WrittenSource | None:
    if not isinstance(data, dict):
        document.mistake(path, "must be a group of settings; indent them below it, as 'name: value'")
        return None
    own = {key: value if key != "mapping" or value is not None else {} for key, value in data.items() if key in OWN}
    part = checked(document, path, SourcePart, own)
    adapter = str(data.get("adapter"))
    if "adapter" in data and adapter not in ADAPTERS:
        document.mistake((*path, "adapter"), f"unknown adapter {adapter!r}. {one_of(adapter, ADAPTERS)}")
    known = document.data.get("enterprises")
    if isinstance(known, dict) and (owner := data.get("enterprise")) is not None and owner not in known:
        document.mistake((*path, "enterprise"), f"unknown enterprise {owner!r}. {one_of(str(owner), known)}")
    preset = _preset(document, path, data)
    options = _options(document, path, adapter, data, preset)
    if part is None or options is None:
        return None
    rules = {name: checked(document, (*path, "mapping", name), RulePart, rule) for name, rule in part.mapping.items()}
    return WrittenSource(part, {name: rule for name, rule in rules.items() if rule is not None}, options, preset)


def _preset(document: Document, path: Path, data: Mapping[str, Any]) -> PresetPart | None:
    if (name := data.get("preset")) is None:
        return None
    if name not in presets.names():
        document.mistake((*path, "preset"), f"unknown preset {name!r}. {one_of(str(name), presets.names())}")
        return None
    preset = presets.preset(name)
    if not str(data.get("adapter")).startswith(preset.protocol):
        document.mistake((*path, "preset"), f"preset {name} is for {preset.protocol} adapters; choose another preset or another adapter")
        return None
    if preset.adapter is not None and data.get("adapter") != preset.adapter:
        document.mistake((*path, "adapter"), f"preset {name} needs 'adapter: {preset.adapter}'; write that")
        return None
    return preset


def _options(document: Document, path: Path, adapter: str, data: Mapping[str, Any], preset: PresetPart | None) -> Mapping[str, Any] | None:
    """The adapter's own settings, the site's over the preset's; only those that were written."""
    if adapter not in ADAPTERS:
        return None
    written = {key: value for key, value in data.items() if key not in OWN}
    model = checked(document, path, schema(adapter), presets.options_under(preset, written), OWN)
    if model is None:
        return None
    found = model.model_dump(exclude_unset=True)
    return found | {"path": str(document.folder / found["path"])} if adapter in FOLDERS and "path" in found else found


def feed(
    document: Document, name: str, written: WrittenSource, enterprises: Mapping[str, EnterprisePart], build: Build
) -> ConfiguredSource | None:
    """The source as it is run, after its mapping compiled; ``None`` after errors were reported."""
    path: Path = ("sources", name)
    part = written.part
    enterprise = enterprises.get(part.enterprise)
    if enterprise is None:
        return None
    zone = part.time_zone or enterprise.time_zone
    times = schedule(document, (*path, "schedule"), part.schedule, zone)
    full = schedule(document, (*path, "full_resync"), part.full_resync, zone)
    _attributes(document, path, part)
    _only_polled(document, path, part)
    _pushed(document, path, part)
    _known_by(document, path, part)
    settings = _compiled(document, path, _settings(name, written, enterprise), build)
    if settings is None:
        return None
    push = part.push.credentials() if part.push else None
    back = _write_back(document, path, part.write_back, settings) if part.write_back else None
    return ConfiguredSource(name, part.enterprise, settings, times, full, part.plain, push, back)


def _write_back(document: Document, path: Path, part: WriteBackPart, settings: SourceSettings) -> ConfiguredWriteBack | None:
    from sync.config.sink import write_back  # most sources have none, and it needs the adapters

    return write_back(document, (*path, "write_back"), part, settings)


def _settings(name: str, written: WrittenSource, enterprise: EnterprisePart) -> SourceSettings:
    part, preset = written.part, written.preset
    return SourceSettings(
        name=name,
        adapter=part.adapter,
        authority=part.patient_id.authority,
        identifier_type=part.patient_id.type,
        mapping=presets.rules_under(preset, written.rules),
        preset=preset.name if preset else "",
        options=written.options,
        authorities=aliases(enterprise),
        default_region=part.default_region or enterprise.default_region,
        time_zone=part.time_zone or enterprise.time_zone,
        keep_names=enterprise.keep_names,
        keep_birth_dates=enterprise.keep_birth_dates,
        linking=linking(enterprise),
        placeholders=folded(enterprise.placeholder_identifiers),
        contact=presets.contact_under(preset, part.contact),
        languages=presets.languages_under(preset, part.languages),
    )


def _only_polled(document: Document, path: Path, part: SourcePart) -> None:
    for name in ("schedule", "full_resync"):
        if part.adapter in LISTENERS and getattr(part, name) is not None:
            document.mistake((*path, name), f"not for {part.adapter}, which receives messages when the EMR sends them; remove it")


def _pushed(document: Document, path: Path, part: SourcePart) -> None:
    """Push only says what to read: the source must be able to read it, and a schedule brings what push missed."""
    if part.push is None:
        return
    if not part.adapter.startswith("fhir."):
        document.mistake((*path, "push"), f"not for {part.adapter}: FHIR Subscriptions are for fhir.rest and fhir.bulk; remove it")
    elif part.schedule is None and part.full_resync is None:
        document.mistake(
            (*path, "push"), "needs a schedule beside it, because what a notification misses is read by the next pull; add one"
        )


def _known_by(document: Document, path: Path, part: SourcePart) -> None:
    """A source that does not say how it knows its patients gets the best guess, and a warning."""
    if part.patient_id.authority or part.adapter.startswith(("files.", "rest.")):
        return
    guess = "their FHIR resource id" if part.adapter.startswith("fhir.") else "the MR identifier in PID-3, or else the first one"
    where = (*path, "patient_id") if part.patient_id.type else path
    document.warn(where, f"patient_id has no authority, so patients are matched by {guess}; write 'patient_id: {{authority: …, type: MR}}'")


def _attributes(document: Document, path: Path, part: SourcePart) -> None:
    """Unknown attribute names are errors."""
    wrong = [(name, (*path, "mapping", name)) for name in part.mapping if not is_mapped(name)]
    wrong += [(name, (*path, "masters", index)) for index, name in enumerate(part.masters) if not is_attribute(name)]
    for attribute, where in wrong:
        known = [*ATTRIBUTES, "topic.<name>.<channel>", "consent.<channel>#<number>", "consent.*", "topic.<name>.*", "consent.sms#*"]
        document.mistake(where, f"unknown attribute {attribute!r}. {one_of(attribute, known)}")


def _compiled(document: Document, path: Path, settings: SourceSettings, build: Build) -> SourceSettings | None:
    """Builds the adapter, so that its mapping is compiled; a wrong rule is noted and left out to find the next one."""
    while True:
        try:
            if build(settings) is not None and settings.adapter.startswith("fhir."):
                _consents(document, path, settings)
            return settings
        except MappingError as error:
            document.mistake((*path, "mapping", error.attribute), str(error))
            if error.attribute not in settings.mapping:
                return None
            settings = replace(settings, mapping={key: rule for key, rule in settings.mapping.items() if key != error.attribute})
        except (ValueError, KeyError, AdapterError, OSError) as error:
            if any(one.where.startswith(dotted(path)) and not one.warning for one in document.mistakes):
                return None  # it misses only what those errors left out
            document.mistake(path, f"{error}" if not isinstance(error, KeyError) else f"missing setting {error}; add it")
            return None


def _consents(document: Document, path: Path, settings: SourceSettings) -> None:
    """A Consent to surgery does not permit text messages: a source must say which Consents count."""
    from adapters.fhir.mapping import FhirMapper  # slow to import
    from adapters.fhir.site_rules import counting_every_consent

    mapper = FhirMapper(settings)
    for name in counting_every_consent(settings, mapper.options.consent, mapper.rules):
        where = (*path, "consent") if name == "consent" else (*path, "mapping", name)
        message = "accepts every Consent, even to treatment or research; write 'consent: {category: [system|code]}', or '*' for all"
        document.mistake(where, message)


def source(name: str, written: WrittenSource, enterprise: EnterprisePart, echoes: frozenset[str]) -> Source:
    """The source as the store needs to know it. ``echoes``: the sources whose writing it repeats."""
    part = written.part
    names = issuers(aliases(enterprise))
    known_by = part.patient_id
    own = tuple((issuer(names, known_by.authority), kind) for kind in known_by.type or ("",)) if known_by.authority else ()
    writes = frozenset(part.write_back.attributes) if part.write_back else frozenset()
    contact = part.contact_for_changes.strip()
    sink = part.write_back.sink if part.write_back else ""
    how = sink == WORKLIST, sink in (PATIENT, CONSENT)
    return Source(name, part.display_name or name, part.freshness, frozenset(part.masters), own, contact, writes, echoes, *how)
