SELECT
    {{ build_id() }} AS build_id,
    CAST('{{ required_var("built_at") }}' AS TIMESTAMP) AS built_at,
    {{ horizon() }} AS horizon
