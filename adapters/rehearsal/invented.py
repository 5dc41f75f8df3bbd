"""Invented names and telephone numbers. Pure data and arithmetic: nothing here belongs to a person.

Numbers are ``+1 area 555 line``. The first hundred lines of every area are 0100 to 0199, which the North American Numbering Plan reserves
for fiction. Larger populations also use other lines of exchange 555, which are not assigned to subscribers.
"""

from __future__ import annotations

_GIVEN = (
    "Adabel Brindle Corvin Dulcimer Ebbet Fennimore Gossamer Hollis Isolde Jessamy Kestrel Larkin Marigold Nettie Orrin Peregrine "
    "Quillon Rosalba Sorrel Tamsin Umber Verity Wendeline Xanthe Yarrow Zephyrine Alder Bracken Clover Dovie Elowen Finch"
)
GIVEN = tuple(_GIVEN.split())
_FAMILY = (
    "Testwell Samplesworth Mockridge Dummerson Fictley Placeholder Rehearsby Feignham Shamwick Pretendale Makebelle Inventley "
    "Stagemore Scriptwood Curtainley Propsworth Standin Understudd Walkon Prompterly Dryrunner Trialsby Practisson Notreal "
    "Fablewood Figmentor Seedling Randomsen Modulow Hashford Bitterby Checksum"
)
FAMILY = tuple(_FAMILY.split())
LANGUAGES = (
    ("en", "eng", "English"),
    ("es", "spa", "Spanish"),
    ("vi", "vie", "Vietnamese"),
    ("zh", "zho", "Chinese"),
    ("ar", "ara", "Arabic"),
)

_AREAS = (
    "201 202 203 205 206 207 208 209 210 212 213 214 215 216 217 218 219 224 225 228 229 231 234 239 240 248 251 252 253 254 256 "
    "260 262 267 269 270 272 276 281 301 302 303 304 305 307 308 309 310 312 313 314 315 316 317 318 319 320 321 323 325 330 331 "
    "334 336 337 339 346 347 351 352 360 361 385 386 401 402 404 405 406 407 408 409 410 412 413 414 415 417 419 423 424 425 430 "
    "432 434 435 440 442 443 458 463 469 470 475 478 479 480 484 501 502 503 504 505 507 508 509 510 512 513 515 516 517 518 520 "
    "530 531 534 539 540 541 551 559 561 562 563 567 570 571 573 574 575 580 585 586 601 602 603 605 606 607 608 609 610 612 614 "
    "615 616 617 618 619 620 623 626 628 629 630 631 636 641 646 650 651 657 660 661 662 667 669 678 681 682 701 702 703 704 706 "
    "707 708 712 713 714 715 716 717 718 719 720 724 725 727 731 732 734 737 740 743 747 754 757 760 762 763 765 769 770 772 773"
)
AREAS = tuple(_AREAS.split())
LINES = 9_900
DIRECTORY_ASSISTANCE = 1212
SPACE = len(AREAS) * LINES


def number(slot: int, seed: int) -> str:
    """The invented number of a slot in E.164. Different slots below ``SPACE`` have different numbers."""
    slot %= SPACE
    row, column = divmod(slot, len(AREAS))
    line = 100 + row
    if line >= DIRECTORY_ASSISTANCE:
        line = (line + 1) % 10_000
    return f"+1{AREAS[(column + seed) % len(AREAS)]}555{line:04d}"
