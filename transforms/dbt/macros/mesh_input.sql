{#
  A run's defined input. The var `mesh` is what job-trigger passes: per stream the version, the row ranges of this run (`rows`) and
  all that it may read (`asOf`), as raw coordinates per (lane, topic, partition). Without it (dbt by hand) everything counts as new.
#}

{% macro mesh_landing(stream) %}
  {#- The table of the version the run is over; the view over the live version where no run says. -#}
  {%- set relation = source('landing', stream) -%}
  {%- set input = mesh_stream(stream) -%}
  {%- if input is none -%}{{ return(relation) }}{%- endif -%}
  {{ return(relation.incorporate(path={'identifier': relation.identifier ~ '__V' ~ input.version})) }}
{% endmacro %}

{% macro mesh_stream(stream) %}
  {{ return(var('mesh', {}).get('streams', {}).get(stream)) }}
{% endmacro %}

{% macro mesh_run_id() %}{{ return(var('mesh', {}).get('runId', 'by-hand')) }}{% endmacro %}

{% macro mesh_changed(stream) %}
  {#- True for the rows of this run. -#}
  {%- set input = mesh_stream(stream) -%}
  {%- if input is none or var('mesh').get('full') -%}true{%- else -%}{{ mesh_rows(input.rows) }}{%- endif -%}
{% endmacro %}

{% macro mesh_as_of(stream) %}
  {#- True for the rows the run may read. -#}
  {%- set input = mesh_stream(stream) -%}
  {%- if input is none -%}true{%- else -%}{{ mesh_rows(input.asOf) }}{%- endif -%}
{% endmacro %}

{% macro mesh_rows(ranges) %}
  {%- if ranges | length == 0 -%}false{%- else -%}
  (
    {%- for r in ranges %}
    {% if not loop.first %}or {% endif %}(_lane = '{{ r.lane }}' and _topic_id = '{{ r.topicId }}' and _partition = {{ r.partition }}
      {%- if r.afterOffset >= 0 %} and (_offset > {{ r.afterOffset }} or (_offset = {{ r.afterOffset }} and _index > {{ r.afterIndex }})){% endif %}
      and (_offset < {{ r.uptoOffset }} or (_offset = {{ r.uptoOffset }} and _index <= {{ r.uptoIndex }})))
    {%- endfor %}
  )
  {%- endif -%}
{% endmacro %}
