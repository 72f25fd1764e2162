{#
  mode: upsert. The newest row of each key the run may read, deletes among them. A key has changed when any of its rows lies in the
  run's range.
#}
with readable as (
  select *, {{ mesh_changed('airports') }} as _in_range
  from {{ mesh_landing('airports') }}
  where {{ mesh_as_of('airports') }}
),
ranked as (
  select
    *,
    row_number() over (partition by _key order by _offset desc, _index desc) as _rank,
    max(case when _in_range then 1 else 0 end) over (partition by _key) = 1 as _key_changed
  from readable
)
select
  _key as iata,
  name,
  city,
  state,
  country,
  latitude,
  longitude,
  _op = 'delete' as _deleted,
  _key_changed as _changed
from ranked
where _rank = 1
