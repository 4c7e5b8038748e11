with source as (

    select * from {{ source('raw', 'escaped_defects') }}

),

renamed as (

    select
        source || '/' || defect_id as defect_key,
        service,
        {{ day_of('found_at') }} as found_on

    from source

)

select * from renamed
