{{ config(unique_key=['repository', 'activity_date']) }}
with activity as (
  select * from {{ ref('stg_github') }} where repository is not null
),
touched as (
  select distinct repository, activity_date from activity {% if is_incremental() %}where _changed{% endif %}
)
select
  activity.repository,
  activity.activity_date,
  cast(count(*) as bigint) as events,
  cast(count(distinct activity.actor) as bigint) as actors,
  cast(sum(activity.commits) as bigint) as commits,
  cast(sum(case when activity.event = 'issues' then 1 else 0 end) as bigint) as issue_events,
  cast(sum(case when activity.event = 'pull_request' then 1 else 0 end) as bigint) as pull_request_events,
  cast('{{ mesh_run_id() }}' as {{ dbt.type_string() }}) as _run_id
from activity
inner join touched on activity.repository = touched.repository and activity.activity_date = touched.activity_date
group by activity.repository, activity.activity_date
