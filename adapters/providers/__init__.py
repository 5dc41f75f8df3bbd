"""Webhooks of messaging providers: replies to texts and refusals to send, read by presets that are data. Opens no connection by itself."""
