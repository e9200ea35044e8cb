"""Paginators for tables that are too long to count."""

from typing import Any

from django.core.paginator import Paginator
from django.utils.functional import cached_property


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts at most `max_count` rows. A filter finds the others."""

    max_count = 10_000

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by()[: self.max_count].count())


class SearchPaginator(BoundedPaginator):
    """Counts fewer: a full-text search reads the text of each row it counts."""

    max_count = 1_000
