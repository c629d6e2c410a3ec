-- Since when a connection stands as it does; and what whoever registered a cluster said of it, which is shown again and
-- nothing else: until when its connection is meant to last, and from where its images are pulled.

ALTER TABLE clusters ADD COLUMN connection_since BIGINT;

ALTER TABLE clusters ADD COLUMN declared_end BIGINT;

ALTER TABLE clusters ADD COLUMN image_repository TEXT NOT NULL DEFAULT '';
