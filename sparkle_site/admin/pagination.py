"""Pages of tables too long to be counted."""

from typing import Any

from django.core.paginator import Paginator
from django.utils.functional import cached_property

MOST = 10_000


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts to ten thousand rows and no further: nobody turns more pages than that, one filters instead."""

    most = MOST

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by()[: self.most].count())


class FoundPaginator(BoundedPaginator):
    """Counts what a search of words found, which costs each row a look at its text: to a thousand."""

    most = 1_000
