-- Health of VMClone, VMCloneReplica, CloneSource and CloneBackend for Argo CD. It reads the conditions in the
-- order that kstatus does, so that Argo CD, Flux, Helm and kubectl agree, and needs nothing but `obj`.
local status = obj.status or {}
if obj.metadata.deletionTimestamp ~= nil then
  return { status = "Progressing", message = "is being deleted" }
end
if status.conditions == nil or status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "waits for the vmclone operator" }
end

local is = {}
for _, condition in ipairs(status.conditions) do
  if condition.status == "True" then
    is[condition.type] = condition
  end
end
local function told(condition)
  return condition.reason .. ": " .. condition.message
end

if is.Reconciling then
  return { status = "Progressing", message = told(is.Reconciling) }
end
if is.Stalled then
  -- Paused by a person is no fault: Degraded would end a running sync as failed.
  return { status = is.Stalled.reason == "Paused" and "Healthy" or "Degraded", message = told(is.Stalled) }
end
if is.Ready then
  local noted = is.Drifted or is.Paused
  return { status = "Healthy", message = (noted and told(noted) .. "; " or "") .. is.Ready.message }
end
return { status = "Progressing", message = "is not ready yet" }
