with source as (

    select * from {{ source('raw', 'rum_events') }}

),

renamed as (

    select
        -- keys
        source,
        event_id,
        service,
        session_id,
        page_view_id,
        trace_id,

        -- where
        coalesce(route, 'unknown') as route,
        release,
        component,
        coalesce(cast(device_class as {{ dbt.type_string() }}), 'unknown') as device_class,
        country,
        is_authenticated,
        coalesce(is_synthetic, false) as is_synthetic,
        feature_flags,
        navigation_type,

        -- what
        cast(event_type as {{ dbt.type_string() }}) as event_type,
        cast(metric_name as {{ dbt.type_string() }}) as metric_name,
        metric_id,
        metric_value,
        is_success,
        is_retry_visible,
        step,
        -- Whole millionths of a session, so that sums of weights are exact in any order.
        cast(round(1000000 / coalesce(sample_rate, 1)) as bigint) as weight,

        -- times
        occurred_at

    from source

)

select * from renamed
