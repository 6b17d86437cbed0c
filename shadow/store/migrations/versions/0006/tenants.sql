ALTER TABLE signature_tenants ADD COLUMN allowed bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN signature_tenants.allowed IS 'of these pairs, in which allowances cover it';
UPDATE signature_tenants AS kept SET allowed = counted.allowed
FROM (
    SELECT shown.signature, shown.tenant, count(*) AS allowed
    FROM (
        SELECT signatures.id AS signature, coalesce(pairs.tenant, '') AS tenant, differences.pair_id
        FROM signatures
        JOIN differences ON differences.signature = signatures.id
        JOIN pairs ON pairs.id = differences.pair_id
        WHERE signatures.allowed > 0 AND pairs.replay IS NULL
        GROUP BY 1, 2, 3 HAVING bool_and(differences.allowance IS NOT NULL)
    ) AS shown
    GROUP BY 1, 2
) AS counted
WHERE kept.signature = counted.signature AND kept.tenant = counted.tenant;
