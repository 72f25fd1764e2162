{{ config(unique_key=['origin', 'destination']) }}
with flights as (
  select * from {{ ref('stg_flights') }}
),
touched as (
  select distinct origin, destination from flights {% if is_incremental() %}where _changed{% endif %}
)
select
  flights.origin,
  flights.destination,
  cast(count(*) as bigint) as flights,
  cast(sum(case when flights.delay <= 15 then 1 else 0 end) as bigint) as on_time,
  cast(round(avg(flights.delay), 2) as double) as avg_delay,
  cast(max(flights.distance) as integer) as distance,
  min(flights.flight_date) as first_date,
  max(flights.flight_date) as last_date,
  cast('{{ mesh_run_id() }}' as {{ dbt.type_string() }}) as _run_id
from flights
inner join touched on flights.origin = touched.origin and flights.destination = touched.destination
group by flights.origin, flights.destination
