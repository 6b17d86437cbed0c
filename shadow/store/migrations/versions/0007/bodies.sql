-- It is compressed and sealed already: to try once more takes time and makes nothing smaller. What lies there stays as it is.
ALTER TABLE bodies ALTER COLUMN content SET STORAGE EXTERNAL;
