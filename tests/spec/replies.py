"""What a reply to a text means (product section 6)."""

from __future__ import annotations

OPT_OUT_WORDS = ("STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPT OUT", "OPTOUT", "STOP ALL")
WORDED = (
    "Stop please",
    "Please stop",
    "stop, thank you",
    "STOP.\nSent from my phone",
    "STOP\nJane Doe",
    "STOP - Jane Doe",
    "S.T.O.P.",
    "st\u200bop",
    "STOPP",
    "Please stopppp",
    "REMOVE",
    "stop texting me",
    "stop texting me and whats the rate",
    "please stop calling",
    "don't text",
    "Don\u2019t text me",
    "do not contact me again",
    "no more messages",
    "remove me",
    "take me off this list",
    "opt me out",
    "leave me alone",
    "Unsubscribe from marketing",
    "unsub",
    "cease",
    "STOP2END",
    "I no longer wish to receive these messages",
)
"""Any reasonable wording opts out."""
ELSEWHERE = (
    *("ALTO", "parar", "Baja", "CANCELAR", "no más mensajes", "Deja de enviarme mensajes", "Dejen de mandarme mensajes", "¡BASTA!"),
    *("ARRET", "Arrêt", "DESABONNER", "Désabonnement", "arrêt svp"),
)
"""Spanish and French. NO, FIN and SI are answers: off unless a site adds them."""
UNCLEAR = (
    *("stop by", "bus stop", "cancel my appointment", "the end", "please cancel my order"),
    *("stop by at noon", "yes stop", "I want to cancel my appointment", "I QUIT smoking", "STOPPED", "how do I unsubscribe"),
    *("Stpo", "sotp", "Dtop", "unsubscibe", "stpo texting me"),
    *("please don't stop texting me", "Don't call, text me instead", "wrong number", "I don't want these anymore", "🛑"),
    "Yes\n> Reply STOP to opt out",
)
"""A keyword in a longer text, or one typo away: for a person to review, never ignored, never an opt-in."""
ANSWERS = ("yes please", "NO", "no thanks", "FIN", "SI", "see you at the shop", "top floor", "quite well", "cancer screening", "thanks")
"""Neither an opt-out nor an opt-in."""
REPLIES: tuple[tuple[str, str | None, str | None], ...] = (
    *((word, "opt_out", "line") for word in ("STOP", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPT OUT", "OPTOUT")),
    ("STOPALL", "opt_out", "all_lines"),
    ("STOP ALL", "opt_out", "all_lines"),
    ("stop", "opt_out", "line"),
    ("  Stop. ", "opt_out", "line"),
    ("STOP!!!", "opt_out", "line"),
    ('"Stop"', "opt_out", "line"),
    ("opt-out", "opt_out", "line"),
    ("Opt  out.", "opt_out", "line"),
    ("stop\nall", "opt_out", "all_lines"),
    ("STOP STOP", "opt_out", "line"),
    ("stop, unsubscribe!", "opt_out", "line"),
    ("ＳＴＯＰ", "opt_out", "line"),  # noqa: RUF001 - full width, as some phones write
    ("START", "opt_in", "line"),
    ("Unstop", "opt_in", "line"),
    ("yes.", "opt_in", "line"),
    *((body, "opt_out", "line") for body in WORDED),
    *((body, "opt_out", "line") for body in ELSEWHERE),
    ("stop all texts", "opt_out", "all_lines"),
    *((body, "review", "line") for body in UNCLEAR),
    *((body, None, None) for body in ANSWERS),
    ("?!", None, None),
    ("", None, None),
)
