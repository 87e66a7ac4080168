{# Made by generate_sources.py from ingestion/contracts; change the contract, then run it again.
   By canonical table: its loader file's name, and whether it names a service line. #}
{% macro canonical_tables() %}
{% do return({
    'catalogue_item': {'loader_file': 'katalogydelser', 'names_line': false},
    'rate': {'loader_file': 'takster', 'names_line': false},
    'offer': {'loader_file': 'tilbud', 'names_line': false},
    'citizen': {'loader_file': 'borgere', 'names_line': false},
    'service_package': {'loader_file': 'ydelsespakker', 'names_line': false},
    'service_translation': {'loader_file': 'ydelsesoversaettelser', 'names_line': false},
    'service_line': {'loader_file': 'ydelser', 'names_line': true},
    'individual_rate': {'loader_file': 'individuelle_takster', 'names_line': true},
    'package_payer': {'loader_file': 'betalere', 'names_line': false},
    'account_rule': {'loader_file': 'kontoregler', 'names_line': true},
    'absence': {'loader_file': 'fravaer', 'names_line': true},
    'registration': {'loader_file': 'registreringer', 'names_line': true},
    'counterparty': {'loader_file': 'modparter', 'names_line': false},
    'payout_terms': {'loader_file': 'udbetalingsvilkaar', 'names_line': true},
    'charge_terms': {'loader_file': 'opkraevningsvilkaar', 'names_line': true},
    'department': {'loader_file': 'afdelinger', 'names_line': false},
    'budget': {'loader_file': 'budget', 'names_line': false},
    'opening_entry': {'loader_file': 'aabningsposter', 'names_line': true},
    'account': {'loader_file': 'kontoplan', 'names_line': false},
    'posting': {'loader_file': 'posteringer', 'names_line': false},
    'payroll_posting': {'loader_file': 'loenposteringer', 'names_line': false},
    'citizen_residence': {'loader_file': 'bopaele', 'names_line': false},
    'citizen_status': {'loader_file': 'cpr_status', 'names_line': false},
    'cpr_change': {'loader_file': 'cpr_skift', 'names_line': false},
    'address_protection': {'loader_file': 'adressebeskyttelser', 'names_line': false},
    'guardianship': {'loader_file': 'vaergemaal', 'names_line': false},
    'incoming_invoice': {'loader_file': 'e_fakturaer', 'names_line': false},
    'incoming_invoice_line': {'loader_file': 'e_fakturalinjer', 'names_line': false},
    'payment_receipt': {'loader_file': 'betalingskvitteringer', 'names_line': false},
}) %}
{% endmacro %}
{# By table that several systems speak of: loader column by canonical column. #}
{% macro contested_columns() %}
{% do return({
    'citizen': {'cpr': 'cpr', 'name': 'navn', 'address': 'adresse', 'postal_code': 'postnummer', 'residence_municipality': 'kommunekode', 'address_protected': 'adressebeskyttet', 'guardian_cpr': 'vaerge_cpr'},
    'offer': {'offer_id': 'tilbud_id', 'name': 'navn', 'owner_kind': 'ejerforhold', 'cvr': 'cvr', 'p_number': 'p_nummer', 'ean': 'ean', 'location_municipality': 'kommunekode', 'paragraph': 'paragraf', 'places': 'pladser', 'budgeted_occupancy_pct_e2': 'budgetteret_belaegning_pct', 'department': 'afdeling'},
    'department': {'department': 'afdeling', 'name': 'navn', 'ean': 'ean', 'municipality': 'kommunekode', 'parent_department': 'overordnet'},
}) %}
{% endmacro %}
