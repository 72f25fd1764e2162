{#- A key that changed leaves first and comes back unless its newest row is a delete. #}
{{
  config(
    unique_key='iata',
    pre_hook="{% if is_incremental() %}delete from {{ this }} where iata in (select _key from {{ mesh_landing('airports') }} where {{ mesh_changed('airports') }}){% else %}select 1{% endif %}"
  )
}}
select
  iata,
  name,
  city,
  state,
  country,
  latitude,
  longitude,
  cast('{{ mesh_run_id() }}' as {{ dbt.type_string() }}) as _run_id
from {{ ref('stg_airports') }}
where not _deleted {% if is_incremental() %}and _changed{% endif %}
