-- Asked of a server about a role, by whatever role Shadow connects as: none of this needs to be a superuser.
-- "As" a role means itself or any that it is a member of, directly or not, inherited or by SET ROLE; PostgreSQL's own
-- functions add what is granted to PUBLIC, and what superusers and the predefined roles may.

-- name: place
SELECT (SELECT system_identifier FROM pg_control_system()), current_database(), current_schema(), current_user

-- name: role
SELECT oid FROM pg_roles WHERE rolname = %(role)s

-- name: tables
SELECT (SELECT count(*) FROM pg_class WHERE relnamespace = pg_namespace.oid AND relkind IN ('r', 'p', 'f', 'm'))
FROM pg_namespace WHERE nspname = %(namespace)s

-- name: writes
WITH RECURSIVE
"as" AS (
    SELECT oid, rolname, rolsuper, rolcreaterole, rolbypassrls FROM pg_roles
    -- a superuser counts for a member of every role: it says enough by itself
    WHERE CASE WHEN (SELECT rolsuper FROM pg_roles WHERE oid = %(role)s::oid) THEN oid = %(role)s::oid
               ELSE pg_has_role(%(role)s::oid, oid, 'MEMBER') END),
schema AS (SELECT oid, nspowner FROM pg_namespace WHERE nspname = %(namespace)s),
-- the tables themselves, and what a write can come to them through: parents that they are partitions of,
-- and views, which write with their owner's rights
way (oid) AS (
    SELECT pg_class.oid FROM pg_class JOIN schema ON relnamespace = schema.oid
    WHERE relkind IN ('r', 'p', 'f', 'm', 'v')
    UNION
    SELECT next.oid FROM way CROSS JOIN LATERAL (
        SELECT inhparent FROM pg_inherits WHERE inhrelid = way.oid
        UNION ALL
        SELECT ev_class FROM pg_depend JOIN pg_rewrite ON pg_rewrite.oid = pg_depend.objid
        WHERE pg_depend.classid = 'pg_rewrite'::regclass AND pg_depend.refclassid = 'pg_class'::regclass
          AND pg_depend.refobjid = way.oid AND ev_class <> way.oid
    ) AS next (oid)),
relation AS (
    SELECT pg_class.oid, relkind, relowner, relnamespace, pg_class.oid::regclass::text AS name
    FROM way JOIN pg_class USING (oid)),
-- A view of its own writes with the rights that are looked at anyway; one that can't be written through is no way.
reached AS (
    SELECT relation.* FROM relation
    WHERE (relkind <> 'v' OR pg_relation_is_updatable(relation.oid, true) <> 0
                             AND NOT EXISTS (SELECT FROM "as" WHERE "as".oid = relowner))
      AND EXISTS (SELECT FROM "as" WHERE has_schema_privilege("as".oid, relnamespace, 'USAGE'))),
found (rank, phrase) AS (
    SELECT 0, CASE WHEN oid = %(role)s::oid THEN 'it is a superuser'
                   ELSE format('it is a member of %%I, a superuser', rolname) END
    FROM "as" WHERE rolsuper
    UNION ALL
    SELECT 1, format('as %%I it may make itself a member of any role (CREATEROLE before PostgreSQL 16)', rolname)
    FROM "as" WHERE rolcreaterole AND current_setting('server_version_num')::int < 160000
    UNION ALL
    SELECT 2, format('it is a member of %%I, which leads to the server''s own files and programs', rolname)
    FROM "as" WHERE rolname IN ('pg_write_server_files', 'pg_execute_server_program')
    UNION ALL
    SELECT 3, format('as %%I it owns the database', rolname)
    FROM "as" JOIN pg_database ON datdba = "as".oid WHERE datname = current_database()
    UNION ALL
    SELECT 4, format('as %%I it owns the schema, and may drop what is in it', rolname)
    FROM "as" JOIN schema ON nspowner = "as".oid
    UNION ALL
    SELECT 5, format('as %%I it may create objects in the schema', rolname)
    FROM "as", schema WHERE has_schema_privilege("as".oid, schema.oid, 'CREATE') AND NOT rolsuper AND nspowner <> "as".oid
    UNION ALL
    SELECT 6, format('as %%I it owns %%s', rolname, name) 
    FROM "as" JOIN relation ON relowner = "as".oid
    WHERE relkind <> 'v' OR relnamespace = (SELECT oid FROM schema)
    UNION ALL
    SELECT 7, format('as %%I it has %%s on %%s', rolname, string_agg(privilege, ', ' ORDER BY position), name)
    FROM "as", reached, unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER'])
        WITH ORDINALITY AS asked (privilege, position)
    WHERE NOT rolsuper AND relowner <> "as".oid
      AND (has_table_privilege("as".oid, reached.oid, privilege)
           OR privilege IN ('INSERT', 'UPDATE') AND has_any_column_privilege("as".oid, reached.oid, privilege))
    GROUP BY rolname, name)
SELECT phrase FROM found ORDER BY rank, phrase

-- name: warnings
WITH
"as" AS (
    SELECT oid, rolname, rolsuper, rolbypassrls, rolreplication FROM pg_roles
    WHERE CASE WHEN (SELECT rolsuper FROM pg_roles WHERE oid = %(role)s::oid) THEN oid = %(role)s::oid
               ELSE pg_has_role(%(role)s::oid, oid, 'MEMBER') END),
schema AS (SELECT oid FROM pg_namespace WHERE nspname = %(namespace)s),
found (rank, phrase) AS (
    SELECT 0, format('as %%I it passes row level security by (BYPASSRLS)', rolname)
    FROM "as" WHERE rolbypassrls AND NOT rolsuper
    UNION ALL
    SELECT 1, format('as %%I it has %%s on the sequence %%s, and may use up its numbers', rolname,
                     string_agg(privilege, ', ' ORDER BY privilege), pg_class.oid::regclass)
    FROM "as", schema, pg_class, unnest(ARRAY['UPDATE', 'USAGE']) AS privilege
    WHERE relkind = 'S' AND relnamespace = schema.oid AND NOT rolsuper
      -- PostgreSQL may look at the condition below before the one above, and asked of a table it raises
      AND CASE WHEN relkind = 'S' THEN has_sequence_privilege("as".oid, pg_class.oid, privilege) END
    GROUP BY rolname, pg_class.oid
    UNION ALL
    SELECT 2, format('it may call %%s, which runs with the rights of %%I (SECURITY DEFINER)',
                     pg_proc.oid::regprocedure, owner.rolname)
    FROM pg_proc JOIN pg_roles AS owner ON owner.oid = proowner
    WHERE prosecdef AND NOT EXISTS (SELECT FROM "as" WHERE "as".oid = proowner OR rolsuper)
      AND pronamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
      AND EXISTS (SELECT FROM "as" WHERE has_function_privilege("as".oid, pg_proc.oid, 'EXECUTE')
                    AND has_schema_privilege("as".oid, pronamespace, 'USAGE'))
    UNION ALL
    SELECT DISTINCT 3, format('tables that %%I creates later will be writable by %%s (ALTER DEFAULT PRIVILEGES)',
                              maker.rolname, coalesce(quote_ident("as".rolname), 'everybody'))
    FROM pg_default_acl JOIN pg_roles AS maker ON maker.oid = defaclrole
    CROSS JOIN LATERAL aclexplode(defaclacl) AS granted
    LEFT JOIN "as" ON "as".oid = granted.grantee
    WHERE defaclobjtype = 'r' AND granted.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER')
      AND (granted.grantee = 0 OR "as".oid IS NOT NULL) AND granted.grantee <> defaclrole
      AND defaclnamespace IN (0, (SELECT oid FROM schema))
    UNION ALL
    SELECT 4, format('as %%I it has privileges on %%s, which only the missing USAGE of the schema keeps it from',
                     rolname, pg_class.oid::regclass)
    FROM "as", pg_class, schema
    WHERE relnamespace = schema.oid AND relkind IN ('r', 'p', 'f', 'v') AND NOT rolsuper
      AND NOT EXISTS (SELECT FROM "as" WHERE has_schema_privilege("as".oid, schema.oid, 'USAGE'))
      AND (has_table_privilege("as".oid, pg_class.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
           OR has_any_column_privilege("as".oid, pg_class.oid, 'INSERT, UPDATE')))
SELECT phrase FROM found ORDER BY rank, phrase
