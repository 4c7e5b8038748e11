with source as (

    select * from {{ source('raw', 'support_tickets') }}

),

renamed as (

    select
        source || '/' || ticket_id as ticket_key,
        service,
        {{ day_of('opened_at') }} as opened_on

    from source

)

select * from renamed
