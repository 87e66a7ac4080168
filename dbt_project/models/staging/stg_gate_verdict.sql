SELECT load_id, gate, rules_version, verdict, detail, judged_at FROM {{ source('ledger', 'gate_verdict') }}
