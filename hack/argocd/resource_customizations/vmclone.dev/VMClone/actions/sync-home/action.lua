local os = require("os")
if (obj.spec.homeCopy or {}).refresh ~= "OnRequest" then
  error("spec.homeCopy.refresh is not OnRequest: set it first", 0)
end
obj.metadata.annotations = obj.metadata.annotations or {}
obj.metadata.annotations["vmclone.dev/sync-requested-at"] = os.date("!%Y-%m-%dT%H:%M:%SZ")
return obj
