"""Writes HTML in which a text never becomes markup by accident; knows nothing of reports."""

from html import escape


class Markup(str):
    """HTML, CSS or JavaScript that goes into the page as it is."""

    __slots__ = ()


def tag(name: str, /, *children: str, **attributes: str | float | None) -> Markup:
    """Write an element; children and attributes are escaped, except children that are `Markup`.

    Args:
        name: of the element, which must not be a void one.
        children: what it holds, in order.
        attributes: `_` in a name stands for `-`, one at its end for nothing; None leaves it out.

    >>> tag("td", "1 < 2", class_="bad", data_x=3, id=None)
    '<td class="bad" data-x="3">1 &lt; 2</td>'
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{written}>{join(*children)}</{name}>")


def join(*children: str) -> Markup:
    """Put texts and markup one after the other."""
    return Markup("".join(each if isinstance(each, Markup) else escape(each) for each in children))
