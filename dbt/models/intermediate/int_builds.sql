{{ touched_rows('int_touched_heads', ['commit_sha']) }}

with ended as (

    select
        *,
        source || '/' || build_id as build_key,
        {{ day_of('finished_at') }} as built_on,
        -- The same work on the same commit: if it failed as well, something else than the change decided.
        coalesce(status = 'success' and row_number() over (
            partition by source, repository, service, workflow, commit_sha, status order by finished_at, build_id
        ) = 1, false) as is_first_success,
        bool_or(status = 'failure') over (
            partition by source, repository, service, workflow, commit_sha
        ) as has_failure
    from {{ ref('stg_builds') }}
    where
        status in ('success', 'failure')
        and finished_at is not null
        and {{ is_touched() }}

),

-- A build of a whole repository is one of each of its services, and without any one of none.
builds as (

    select
        ended.*,
        ended.service as built_service
    from ended
    where ended.service is not null
    union all
    select
        ended.*,
        services.service as built_service
    from ended
    left join {{ ref('dim_services') }} as services
        on
            ended.repository = services.repository
            and ended.built_on >= services.valid_from
            and ended.built_on < services.valid_to
    where ended.service is null

)

select
    builds.build_key,
    builds.commit_sha,
    builds.built_service as service,
    services.team,
    builds.built_on,
    case
        when builds.status = 'success' then 60 * {{ hours_between('builds.started_at', 'builds.finished_at') }}
    end as build_minutes,
    builds.is_first_success,
    builds.is_first_success and builds.has_failure as is_flaky
from builds
left join {{ ref('dim_services') }} as services
    on
        builds.built_service = services.service
        and builds.built_on >= services.valid_from
        and builds.built_on < services.valid_to
