select
  deliveryId as delivery_id,
  event,
  action,
  repository,
  organization,
  actor,
  commits,
  occurredAt as occurred_at,
  cast(_event_time as date) as activity_date,
  _event_time,
  {{ mesh_changed('github') }} as _changed
from {{ mesh_landing('github') }}
where _op = 'upsert' and {{ mesh_as_of('github') }}
