-- One statement makes a batch of events durable: dedupe keys first, then for what is new the event, its bodies
-- and its dispatches. Rows of a key that is there already are left out: their ids come back, and the caller finds
-- what holds their keys. Keys are taken in the same order by every batch, so that no two block each other. It is a
-- transaction of its own. It wakes nobody: commits that NOTIFY wait for each other, fsync included, so the intake
-- does that apart.
--
-- What many events of a batch share (source, name, route ...) comes once, as templates numbered from 0, and what many
-- dispatches share as plans; an event names its template, a dispatch its plan. Everything is one array a column.
--
-- Nearly always every event is new. So what is left out is looked for in the few that are stale, mostly none, and
-- what is new is not looked up. (The planner takes any two arrays for equally long: it is told that templates are
-- fewer than events, so that it makes its table of them.)
WITH template AS (
    SELECT * FROM unnest(
        %(source)s, %(door)s, %(origin)s, %(name)s, %(route)s, %(phase)s, %(authority)s, %(purpose)s,
        %(parent_run)s, %(sides)s, %(means)s, %(decided)s, %(template_no)s)
        AS template (source, door, origin, name, route, phase, authority, purpose, parent_run, sides, means, decided,
                     template)
    WHERE template >= 0
),
plan AS (
    SELECT * FROM unnest(
        %(plan_no)s, %(side)s, %(stage)s, %(platform)s, %(task)s, %(state)s, %(delay_ms)s)
        AS plan (plan, side, stage, platform, task, state, delay_ms)
),
keyed AS (
    SELECT * FROM unnest(%(scope)s, %(key)s, %(id)s, %(upstream_id)s, %(expires)s)
        AS keyed (scope, key, id, upstream_id, expires)
    WHERE key IS NOT NULL
),
fresh_keys AS (
    INSERT INTO dedupe_keys AS known (scope, key, event_id, upstream_id, expires_at)
    SELECT scope, key, id, upstream_id, expires FROM keyed
    ORDER BY scope COLLATE "C", key COLLATE "C"
    ON CONFLICT (scope, key) DO UPDATE
        SET event_id = excluded.event_id, upstream_id = excluded.upstream_id, expires_at = excluded.expires_at
        WHERE known.expires_at < now()
    RETURNING event_id
),
stale AS MATERIALIZED (
    SELECT id FROM keyed WHERE id NOT IN (SELECT event_id FROM fresh_keys)
),
fresh AS MATERIALIZED (
    SELECT * FROM unnest(
        %(id)s, %(template)s, %(tenant)s, %(external_id)s, %(delivery_id)s, %(upstream_id)s, %(occurred_at)s,
        %(scheduled_at)s, %(mapping_error)s, %(position)s, %(dispatch_key)s, %(ramp_key)s)
        AS arrival (id, template, tenant, external_id, delivery_id, upstream_id, occurred_at, scheduled_at,
                    mapping_error, position, dispatch_key, ramp_key)
    WHERE id NOT IN (SELECT id FROM stale)
),
new_events AS (
    INSERT INTO events (id, source, door, origin, name, tenant, external_id, delivery_id, upstream_id,
                        occurred_at, scheduled_at, route, phase, authority, mapping_error, purpose, parent_run,
                        sides, task, decided, ramp_key)
    SELECT id, source, door, origin, name, tenant, external_id, delivery_id, upstream_id,
           occurred_at, scheduled_at, route, phase, authority, mapping_error, purpose, parent_run,
           string_to_array(sides, ','), means, string_to_array(decided, ','), ramp_key
    FROM fresh JOIN template USING (template)
),
new_bodies AS (
    INSERT INTO bodies (id, part, content)
    SELECT body.id, body.part, body.content
    FROM unnest(%(body_id)s, %(body_part)s, %(body_content)s) AS body (id, part, content)
    WHERE body.id NOT IN (SELECT id FROM stale)
),
new_dispatches AS (
    INSERT INTO dispatches (id, event_id, side, stage, platform, task, tenant, state, due_at, seed, position,
                            idempotency_key, error)
    SELECT dispatch.id, fresh.id, side, stage, platform, task, tenant, state,
           CASE state WHEN 'sequenced' THEN GREATEST(now(), scheduled_at) ELSE now() END
               + delay_ms * interval '1 millisecond',
           CASE WHEN side = 'candidate' THEN %(seed)s END, CASE WHEN side = 'candidate' THEN position END,
           CASE WHEN side = 'legacy' THEN dispatch_key END, mapping_error
    FROM unnest(%(dispatch_id)s, %(dispatch_event)s, %(dispatch_plan)s) AS dispatch (id, event_id, plan)
    JOIN fresh ON fresh.id = dispatch.event_id
    JOIN plan USING (plan)
)
SELECT id FROM stale
