"""What SQLAlchemy's suite may try: everything that it leaves out by default, except what the database itself has not.

The same class judges the native driver and ours.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.testing import exclusions
from sqlalchemy.testing.requirements import SuiteRequirements

LACKING = {
    "sqlite": """
        array_type comment_reflection constraint_comment_reflection default_schema_name_switch
        delete_from fetch_first fetch_no_order_by fetch_offset_with_options fetch_percent fetch_ties
        identity_columns identity_columns_standard independent_connections
        create_or_replace_view foreign_keys_reflect_as_index index_reflects_included_columns
        indexes_with_expressions inline_check_constraint_reflection materialized_views
        reflect_indexes_with_ascdesc_as_expression reflect_indexes_with_expressions reflect_tables_no_columns
        schema_create_delete unique_constraints_reflect_as_index unique_index_reflect_as_unique_constraints
        """,
    "postgresql": """
        """,
}
"""What a database lacks, by the suite's names: asking for it would keep other tests from running."""


def _lacks(name: str) -> Any:
    kinds = [kind for kind, names in LACKING.items() if name in names.split()]
    return exclusions.skip_if(lambda config: config.db.name in kinds, "the database has no such thing")


def _is_closed(requirement: Any) -> bool:
    return any(
        isinstance(skip, exclusions.BooleanPredicate) and skip.value for skip in getattr(requirement, "skips", ())
    )


class Requirements(SuiteRequirements):
    """Open, but for :data:`LACKING`."""


_default = SuiteRequirements()
_named = {name for names in LACKING.values() for name in names.split()}
for _name in dir(SuiteRequirements):
    if isinstance(vars(SuiteRequirements).get(_name), property) and (
        _name in _named or _is_closed(getattr(_default, _name))
    ):
        setattr(Requirements, _name, property(lambda _, name=_name: _lacks(name)))
