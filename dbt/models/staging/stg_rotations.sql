with source as (

    select * from {{ source('reference', 'rotations') }}

),

renamed as (

    select
        rotation,
        team,
        services,
        time_zone,
        {{ minute_of_day("coalesce(business_start, '09:00')") }} as business_from_minute,
        {{ minute_of_day("coalesce(business_end, '17:00')") }} as business_to_minute,
        {{ minute_of_day("coalesce(sleep_start, '22:00')") }} as sleep_from_minute,
        {{ minute_of_day("coalesce(sleep_end, '07:00')") }} as sleep_to_minute,
        coalesce(shift_hours, 12) as shift_hours,
        {{ minute_of_day("coalesce(handover, '09:00')") }} as handover_minute,
        coalesce(valid_from, cast('1900-01-01' as date)) as valid_from,
        coalesce(valid_to, cast('9999-12-31' as date)) as valid_to

    from source

)

select * from renamed
