{# Which runs gold has seen: one row per run and invocation, beside the marts. #}

{% macro mesh_ledger_relation() %}
  {{ return(api.Relation.create(database=target.database, schema=target.schema, identifier='_mesh_runs')) }}
{% endmacro %}

{% macro mesh_open_ledger() %}
  create table if not exists {{ mesh_ledger_relation() }} (
    run_id {{ dbt.type_string() }}, execution_id {{ dbt.type_string() }}, job {{ dbt.type_string() }},
    invocation_id {{ dbt.type_string() }}, succeeded boolean, nodes integer, finished_at {{ dbt.type_timestamp() }}
  )
{% endmacro %}

{% macro mesh_note_run(results) %}
  {%- set mesh = var('mesh', {}) -%}
  {%- set bad = results | selectattr('status', 'in', ['error', 'fail', 'skipped', 'runtime error']) | list -%}
  {%- if flags.WHICH in ['build', 'run'] %}
  insert into {{ mesh_ledger_relation() }} values (
    '{{ mesh.get("runId", "by-hand") }}', '{{ mesh.get("executionId", "by-hand") }}', '{{ mesh.get("job", "by-hand") }}',
    '{{ invocation_id }}', {{ 'false' if bad else 'true' }}, {{ results | length }}, {{ dbt.current_timestamp() }}
  )
  {%- else -%}select 1{%- endif %}
{% endmacro %}
