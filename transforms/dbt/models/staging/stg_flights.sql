{# mode: append. Every row is a flight of its own; deletes have no columns and say nothing about another row. #}
select
  id,
  flightDate as flight_date,
  departure,
  delay,
  distance,
  origin,
  destination,
  originCity as origin_city,
  originState as origin_state,
  destinationCity as destination_city,
  destinationState as destination_state,
  _event_time,
  {{ mesh_changed('flights') }} as _changed
from {{ mesh_landing('flights') }}
where _op = 'upsert' and {{ mesh_as_of('flights') }}
