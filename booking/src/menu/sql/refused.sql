-- A write by a role that may write: what refuses it on a replica is that the server is one.
INSERT INTO public.airports (airport_code, airport_name, city, longitude, latitude, timezone)
VALUES ('ZZZ', 'Nowhere', 'Nowhere', 0, 0, 'UTC')
