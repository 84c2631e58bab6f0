"""Two hundred texts that run a script wherever a page forgets to escape them: they count in `window.ran`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from itertools import cycle, islice, product
from typing import Any, TypeVar

T = TypeVar("T")
RUN = "window.ran=(window.ran||0)+1"
_ATTACKS = (
    f"<script>{RUN}</script>",
    f"<ScRiPt/x>{RUN}</sCrIpT>",
    f"<img src=x onerror={RUN}>",
    f"<img/src=x/onerror='{RUN}'>",
    f"<svg onload={RUN}>",
    f"<svg><script>{RUN}</script></svg>",
    f"<svg><animate onbegin={RUN} attributeName=x dur=1s>",
    f"<svg><style><img src=x onerror={RUN}></style></svg>",
    f"<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=x onerror={RUN}&gt;'>",
    f"<iframe srcdoc='<script>parent.{RUN}</script>'></iframe>",
    f"<iframe src='javascript:parent.{RUN}'></iframe>",
    f"<details open ontoggle={RUN}>x</details>",
    f"<body onload={RUN}>",
    f"<input autofocus onfocus={RUN}>",
    f"<select autofocus onfocus={RUN}><option>x</select>",
    f"<video><source onerror={RUN}></video>",
    f"<audio src=x onerror={RUN}></audio>",
    f"<object data='javascript:{RUN}'></object>",
    f"<embed src='javascript:{RUN}'>",
    f"<link rel=stylesheet href=x onerror={RUN}>",
    f"<meta http-equiv=refresh content='0;url=javascript:{RUN}'>",
    f"<base href='javascript:{RUN}//'>",
    f"<a href='javascript:{RUN}' id=stale>x</a>",
    f"<form id=act action='javascript:{RUN}'><button autofocus>x</button></form>",
    f"<style onload={RUN}></style>",
    f"<style>@import 'javascript:{RUN}';</style>",
    f"<noscript><p title='</noscript><img src=x onerror={RUN}>'>",
    f"<template><script>{RUN}</script></template>",
    f"<!--><script>{RUN}</script>-->",
    f"<![CDATA[<script>{RUN}</script>]]>",
    f"<xmp><img src=x onerror={RUN}></xmp>",
    f"{{{{{RUN}}}}}{{% set x = cycler %}}${{{RUN}}}",
    f"&lt;script&gt;{RUN}&lt;/script&gt;&#60;img src=x onerror={RUN}&#62;",
    f"\u2028\u202e{RUN}\x00\x07<\x00script>{RUN}</script>",
    f"\ud800<img src=x onerror={RUN}>",
)
_BREAKS = (
    "",
    '">',
    "'>",
    "</title></style></script></textarea></template>",
    "--></desc></svg></th></table></details>",
    f"' onmouseover='{RUN}' \" autofocus onfocus=\"{RUN}\" ` onclick=`{RUN}` ",
)
CORPUS = tuple(f"{before}{attack}" for before, attack in product(_BREAKS, _ATTACKS))[:200]


def with_corpus(value: T, *, first: int) -> T:
    """Return the value with the corpus, from its text number `first` on, in place of the texts from outside."""
    return _replaced(value, islice(cycle(CORPUS), first, None))  # type: ignore[no-any-return]


def _replaced(value: Any, texts: Iterator[str]) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return type(value)(**{field.name: _replaced(getattr(value, field.name), texts) for field in fields(value)})
    if isinstance(value, tuple):
        return tuple(_replaced(each, texts) for each in value)
    return next(texts) if type(value) is str else value


def count_of_texts(value: Any) -> int:
    """Return how many texts of the value come from outside."""
    if is_dataclass(value):
        return sum(count_of_texts(getattr(value, field.name)) for field in fields(value))
    if isinstance(value, tuple):
        return sum(map(count_of_texts, value))
    return int(type(value) is str)
