"""The configuration: YAML and the environment in, frozen settings or every mistake out."""

from sync.config.load import chosen, inspect, load
from sync.config.mistake import ConfigError, Mistake
from sync.config.settings import Backoff, Brake, Feed, Logging, Schedule, Settings

__all__ = ["Backoff", "Brake", "ConfigError", "Feed", "Logging", "Mistake", "Schedule", "Settings", "chosen", "inspect", "load"]
