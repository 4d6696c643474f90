-- What a person may ask of one clone: retry, once a step of it failed.
local counted = (obj.status or {}).retry or {}
return { retry = { disabled = (counted.failures or 0) == 0 } }
