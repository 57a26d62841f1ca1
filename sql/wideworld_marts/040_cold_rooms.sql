-- Temperatures of the wholesaler's cold rooms, and when they were too high. Run by the owner of the marts, after
-- `vault-loader migrate` with the model of connectors/wideworld.
-- Invariant: every reading is one row of ww_cold_room_readings. An alarm is an unbroken row of readings of one sensor
-- above 6 degrees Celsius, and each such reading is in one alarm. The views own no facts.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

CREATE OR REPLACE VIEW dwh_marts.ww_cold_room_readings AS
SELECT
    cold_room_sensor_number,
    recorded_when,
    temperature,
    temperature > 6 AS is_too_warm
FROM dwh_marts.current_ww_cold_room_temperatures
UNION ALL
SELECT
    cold_room_sensor_number,
    recorded_when,
    temperature,
    temperature > 6
FROM dwh_marts.current_ww_cold_room_temperatures_archive;

COMMENT ON VIEW dwh_marts.ww_cold_room_readings IS
    'all readings of the cold rooms, as the vault is now; the table of the latest ones and that of the earlier ones are loaded one by one; grain: a reading of a sensor';
COMMENT ON COLUMN dwh_marts.ww_cold_room_readings.cold_room_sensor_number IS 'number of the sensor';
COMMENT ON COLUMN dwh_marts.ww_cold_room_readings.recorded_when IS 'when it was read, UTC';
COMMENT ON COLUMN dwh_marts.ww_cold_room_readings.temperature IS 'degrees Celsius';
COMMENT ON COLUMN dwh_marts.ww_cold_room_readings.is_too_warm IS 'whether it is above 6 degrees Celsius';

-- The number of good readings until a reading is the same for all readings of one unbroken row of warm ones.
CREATE OR REPLACE VIEW dwh_marts.ww_cold_room_alarms AS
WITH readings AS (
    SELECT
        cold_room_sensor_number,
        recorded_when,
        temperature,
        is_too_warm,
        count(*) FILTER (WHERE NOT is_too_warm) OVER before AS good_readings,
        recorded_when = max(recorded_when) OVER (PARTITION BY cold_room_sensor_number) AS is_latest
    FROM dwh_marts.ww_cold_room_readings
    WINDOW before AS (PARTITION BY cold_room_sensor_number ORDER BY recorded_when)
)
SELECT
    cold_room_sensor_number,
    min(recorded_when)                      AS began_when,
    max(recorded_when)                      AS last_warm_when,
    count(*)                                AS readings,
    max(temperature)                        AS highest_temperature,
    bool_or(is_latest)                      AS is_going_on
FROM readings
WHERE is_too_warm
GROUP BY
    cold_room_sensor_number,
    good_readings;

COMMENT ON VIEW dwh_marts.ww_cold_room_alarms IS
    'times in which a sensor of the cold rooms was above 6 degrees Celsius, as the vault is now; grain: a sensor and an unbroken row of such readings';
COMMENT ON COLUMN dwh_marts.ww_cold_room_alarms.cold_room_sensor_number IS 'number of the sensor';
COMMENT ON COLUMN dwh_marts.ww_cold_room_alarms.began_when IS 'when the first of these readings was taken, UTC';
COMMENT ON COLUMN dwh_marts.ww_cold_room_alarms.last_warm_when IS 'when the last of these readings was taken, UTC';
COMMENT ON COLUMN dwh_marts.ww_cold_room_alarms.readings IS 'how many readings these are';
COMMENT ON COLUMN dwh_marts.ww_cold_room_alarms.highest_temperature IS 'the highest of them, degrees Celsius';
COMMENT ON COLUMN dwh_marts.ww_cold_room_alarms.is_going_on IS 'whether the latest reading of the sensor is one of them';

GRANT SELECT ON dwh_marts.ww_cold_room_readings, dwh_marts.ww_cold_room_alarms TO mart_reader;

COMMIT;
