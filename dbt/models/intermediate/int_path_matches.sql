with rules as (

    select
        service,
        valid_from,
        {{ each_word('paths') }} as path_glob
    from {{ ref('stg_services') }}

),

globs as (

    select distinct
        path_glob,
        split_part(path_glob, '*', 1) as beginning,
        {{ glob_pattern('path_glob') }} as pattern
    from rules

),

paths as (

    select distinct path
    from {{ ref('stg_change_paths') }}

),

matches as (

    select
        paths.path,
        globs.path_glob
    from paths
    inner join globs
        on
            -- Spares most pairs the regular expression.
            left(paths.path, length(globs.beginning)) = globs.beginning
            and {{ matches_pattern('paths.path', 'globs.pattern') }}

)

select distinct
    change_paths.source,
    change_paths.commit_sha,
    rules.service,
    rules.valid_from
from {{ ref('stg_change_paths') }} as change_paths
inner join matches on change_paths.path = matches.path
inner join rules on matches.path_glob = rules.path_glob
