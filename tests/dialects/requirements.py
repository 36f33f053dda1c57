"""What SQLAlchemy's suite may try: everything that it leaves out by default, except what the database itself has not.

The same class judges the native driver and ours.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.testing import exclusions
from sqlalchemy.testing.requirements import SuiteRequirements

LACKING = {
    "sqlite": """
        array_type comment_reflection comment_reflection_full_unicode constraint_comment_reflection
        create_or_replace_view cross_schema_fk_reflection datetime_interval datetime_timezone datetime_timezone_historic default_schema_name_switch delete_from
        fetch_first fetch_no_order_by fetch_offset_with_options fetch_percent fetch_ties foreign_keys_reflect_as_index
        identity_columns identity_columns_standard implicitly_named_constraints independent_connections index_reflects_included_columns
        indexes_with_expressions inline_check_constraint_reflection materialized_views materialized_views_reflect_pk
        reflect_indexes_with_ascdesc_as_expression reflect_indexes_with_expressions reflect_tables_no_columns
        regexp_replace schema_create_delete supports_distinct_on temp_table_comment_reflection time_timezone unique_constraints_reflect_as_index
        unique_index_reflect_as_unique_constraints window_range_non_numeric
        """,
    "postgresql": """
        computed_columns_default_persisted fetch_percent foreign_keys_reflect_as_index materialized_views_reflect_pk
        nvarchar_types reflect_indexes_with_ascdesc_as_expression repeated_remote_col_foreign_keys
        unique_index_reflect_as_unique_constraints
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

    @property
    def json_deserializer_binary(self) -> Any:
        """Psycopg gives the function that reads JSON bytes; the suite asks in order to decode them."""
        return exclusions.only_if(lambda config: config.db.driver == "psycopg", "the driver gives text")


_default = SuiteRequirements()
_named = {name for names in LACKING.values() for name in names.split()}
for _name in dir(SuiteRequirements):
    if (
        _name not in vars(Requirements)
        and isinstance(vars(SuiteRequirements).get(_name), property)
        and (_name in _named or _is_closed(getattr(_default, _name)))
    ):
        setattr(Requirements, _name, property(lambda _, name=_name: _lacks(name)))
