# Apigee's analytics records, one a line, of what the collector has written (apigee.yaml). Requests of no API are none.
.resourceLogs[].scopeLogs[].logRecords[].attributes
| map({ key, value: (.value | if has("intValue") then (.intValue | tonumber) else .stringValue end) })
| from_entries
| select(.apiproxy != "" and .apiproxy != "-")
