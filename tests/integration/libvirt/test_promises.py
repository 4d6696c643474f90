"""What is promised of libvirt, and the test on a real libvirtd that proves it: nobody has to search for it.

Where a guest matters the test boots one (`tests/integration/guest`, `tests/e2e`). Everything else is proven with VMs
that boot nothing, or with clones whose guests are simulated over real storage and definitions
(`tests/support/unbooted.py`). What only decides, and touches no hypervisor, is proven in `tests/unit` and
`tests/behaviour` and not listed.

`SIMULATED` holds what no real libvirtd proves: no swtpm is installed that a source with a virtual TPM could run with;
labels are the API server's alone; and faults that are struck by the thousand, or last for ten minutes, are struck over
the fake, where time is simulated.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
HERE, CONTRACT, GUEST, E2E = "integration/libvirt/", "contract/", "integration/guest/", "e2e/"
LEADING, BEHAVIOUR, CRASH, UNIT = "integration/leaders/", "behaviour/", "crash/", "unit/"

SOURCES = {
    "by name or UUID": HERE + "test_frozen_points_real.py::test_a_source_is_found_by_name_and_by_id_and_may_be_cloned",
    "two VMs match": HERE + "test_frozen_points_real.py::test_a_vm_whose_name_is_anothers_uuid_is_not_guessed_at",
    "running or off; qcow2, raw, several disks, snapshots, special characters": HERE
    + "test_source_shapes_real.py::test_a_clone_has_the_current_content_of_every_disk",
    "cdrom, read-only and shared disks": HERE
    + "test_source_shapes_real.py::test_what_other_vms_may_have_too_is_shared_and_not_copied",
    "UEFI variables are copied": HERE
    + "test_firmware_variables_real.py::test_a_clone_gets_a_copy_of_the_sources_variables",
    "UEFI variables are never blank": HERE
    + "test_firmware_variables_real.py::test_a_running_source_whose_variables_are_gone_has_no_clones",
    "started while it is copied": HERE
    + "test_source_moments_real.py::test_a_source_that_is_started_while_it_is_copied_is_frozen_again_as_it_runs",
    "started, stopped or undefined while it is copied": HERE
    + "test_source_changes_real.py::test_a_source_that_is_not_what_it_was_gives_no_frozen_point",
    "renamed while it is copied": HERE
    + "test_source_moments_real.py::test_a_source_that_is_renamed_while_it_is_copied_is_the_same_source",
    "stops while its backup runs": HERE
    + "test_source_changes_real.py::test_a_source_that_stops_while_its_backup_runs_is_frozen_again_as_it_is_then",
    "refused before anything is made": HERE
    + "test_sources_refused_real.py::test_what_cannot_be_copied_safely_is_refused_before_anything_is_made",
    "what two VMs cannot both have": HERE + "test_definitions_refused_real.py::"
    "test_a_device_that_two_vms_cannot_both_have_is_refused_by_name_before_anything_is_made",
    "a shared disk that is written": HERE + "test_definitions_refused_real.py::"
    "test_a_writable_shareable_disk_is_refused_by_its_name_and_never_written",
    "a transient disk": HERE + "test_definitions_real.py::test_a_transient_disk_is_an_ordinary_one_of_the_clone",
    "credentials in SMBIOS and fw_cfg": HERE + "test_definitions_real.py::"
    "test_no_credential_and_no_serial_number_reaches_the_clone_through_its_firmware",
    "screens without ports": HERE + "test_definitions_real.py::test_a_screen_without_a_port_stays_as_it_is",
    "the seed moves no disk": HERE + "test_definitions_real.py::"
    "test_the_seed_comes_after_all_disks_of_the_source_where_a_slot_before_them_is_free",
    "the boot order stays": HERE + "test_definitions_real.py::test_the_firmware_boots_the_disk_that_the_source_boots",
    "serial numbers of disks": HERE
    + "test_definitions_real.py::test_a_data_disk_keeps_the_serial_number_that_the_guests_fstab_names",
    "host ends of devices": HERE + "test_definitions_real.py::"
    "test_host_ends_of_devices_are_the_clones_own_and_what_refers_to_a_device_stays_with_it",
    "a definition is proven before the freeze": HERE + "test_definitions_real.py::"
    "test_a_definition_that_libvirt_would_not_take_is_a_finding_that_names_the_element",
    "network disks and host devices": HERE + "test_sources_refused_real.py::test_all_findings_are_told_at_once",
    "locked": HERE
    + "test_sources_refused_real.py::test_a_source_that_another_tool_backs_up_is_locked_and_its_backup_goes_on",
    "formats are never probed": HERE
    + "test_sources_refused_real.py::test_a_raw_disk_that_looks_like_qcow2_stays_raw_while_it_runs",
}
DISKS = {
    "linked": HERE + "test_session_real.py::test_a_clone_is_off_quarantined_stamped_and_reads_the_sources_bytes",
    "full": HERE + "test_full_copies_real.py::test_a_full_copy_reads_the_sources_bytes_and_stands_alone",
    "auto": HERE + "test_changes_real.py::test_auto_makes_linked_clones_where_they_are_to_be_had_and_says_so",
    "disk.pool": CONTRACT + "test_shapes.py::test_disks_lie_in_the_pool_that_was_asked_for",
    "disk.consistency": HERE
    + "test_frozen_points_real.py::test_a_running_guest_without_an_agent_is_frozen_only_when_a_crash_is_acceptable",
    "template: CPUs, memory, networks": HERE
    + "test_changes_real.py::test_a_template_gives_a_clone_its_processors_memory_and_networks",
    "the backend's network, where the source is on another host": HERE + "test_clean_elsewhere_real.py::"
    "test_a_network_of_the_backend_that_is_not_there_is_refused_before_anything_is_made",
    "template: power Off": HERE
    + "test_delivery_real.py::test_a_clone_delivered_off_was_on_once_for_its_identity_and_never_on_the_network",
    "sourcePower StartForCopy": HERE
    + "test_source_moments_real.py::test_a_source_that_is_off_is_started_for_the_copy_of_its_home_and_off_again",
    "sourcePower puts the source back": HERE
    + "test_source_moments_real.py::test_a_running_source_is_stopped_for_its_frozen_point_and_runs_again",
    "sourcePower at every write": HERE
    + "test_source_moments_real.py::test_the_source_runs_again_whatever_goes_wrong_at_any_write",
    "sourcePower of two wishes": HERE + "test_source_shared_real.py::"
    "test_a_source_that_two_vmclones_stop_runs_again_once_both_have_their_clones",
    "regenerated and kept fields": HERE
    + "test_side_by_side_real.py::test_source_and_clones_run_side_by_side_and_share_nothing_that_is_ones_own",
    "a frozen point's life": HERE
    + "test_frozen_points_real.py::test_a_frozen_point_is_kept_while_a_clone_stands_on_it",
    "a frozen point given up in mid-copy": HERE + "test_source_moments_real.py::"
    "test_a_wish_that_is_deleted_while_its_source_is_copied_waits_for_the_copy_and_leaves_nothing",
    "a backup given up in mid-copy": HERE + "test_source_moments_real.py::"
    "test_a_wish_that_is_deleted_while_its_source_is_backed_up_leaves_no_backup_and_no_volume",
    "copies given up before their turn": HERE + "test_source_moments_real.py::"
    "test_a_wish_that_is_deleted_before_its_copies_had_their_turn_goes_at_once_and_leaves_nothing",
    "attempt tokens": HERE + "test_session_real.py::test_leftovers_of_a_lost_attempt_go_before_the_new_one_starts",
    "a bulk connection of its own": HERE
    + "test_full_copies_real.py::test_quick_calls_are_answered_while_all_copies_that_may_run_take_their_time",
    "a limit to copies at a time": HERE
    + "test_full_copies_real.py::test_no_more_disks_are_copied_at_a_time_than_libvirtd_can_bear",
}
GUESTS = {
    "identity": GUEST + "test_identity_on_real_guest.py::test_every_value_is_the_clones_own",
    "scrub": GUEST + "test_identity_on_real_guest.py::test_the_disk_is_scrubbed_before_the_link_goes_up",
    "overwritten and trimmed": GUEST + "test_identity_on_real_guest.py::test_the_raw_disk_holds_no_canary_any_more",
    "masked units": GUEST
    + "test_identity_on_real_guest.py::test_the_owners_units_are_masked_and_stopped_and_passwords_are_gone",
    "needsReboot": GUEST + "test_identity_on_real_guest.py::test_a_guest_that_must_be_rebooted_says_so_until_it_was",
    "GuestAgentMissing, whatever identity.verify says": HERE
    + "test_quarantine_real.py::test_a_clone_that_never_answers_stays_disconnected_and_says_what_is_missing",
    "who a clone is, after a reboot and a power cycle": E2E + "test_3_faults.py::"
    "test_after_another_boot_a_clone_is_who_its_status_says_and_nothing_of_the_source_is_back",
    "BootFailed": HERE
    + "test_consoles_real.py::test_a_clone_that_boots_nothing_is_told_with_the_last_words_of_its_firmware",
    "ScrubUnverified": HERE + "test_delivery_real.py::test_a_disk_that_keeps_what_was_overwritten_holds_the_clone_back",
    "identity.verify: Warn": HERE
    + "test_delivery_real.py::test_who_goes_on_without_proof_gets_the_clone_and_is_told_what_is_not_proven",
    "a source is never frozen over 5 s": E2E
    + "test_3_faults.py::test_killed_at_every_step_the_source_never_stands_still_for_five_seconds",
}
PLANS = {
    "all findings in one report, before anything is made": HERE
    + "test_plans_real.py::test_all_findings_are_told_in_one_plan_and_nothing_is_made",
    "DryRun and its estimate": HERE + "test_plans_real.py::test_a_dry_run_tells_what_would_be_made_and_makes_nothing",
    "15 % margin, in every pool": HERE
    + "test_plans_real.py::test_the_margin_of_15_percent_is_asked_for_in_the_pool_of_the_clones_too",
}
CHANGES = {
    "scale up and down": HERE + "test_changes_real.py::test_one_to_three_to_one_keeps_the_first_vm_and_freezes_once",
    "OnDelete": HERE + "test_changes_real.py::test_a_changed_template_waits_for_the_deletion_of_each_replica",
    "Recreate with maxUnavailable": HERE
    + "test_changes_real.py::test_recreate_replaces_every_clone_and_keeps_the_rest_delivered",
    "pause": HERE + "test_changes_real.py::test_a_paused_wish_changes_nothing_and_is_deleted_all_the_same",
    "Missing": HERE + "test_drift_real.py::test_a_clone_that_was_undefined_by_hand_is_made_again_and_leaves_no_file",
    "Foreign": HERE + "test_drift_real.py::test_a_clone_whose_stamp_was_taken_off_is_reported_and_never_touched",
    "Reconfigured": HERE + "test_drift_real.py::test_a_clone_that_was_reconfigured_is_reported_and_stays_as_it_is",
    "Reconfigured, made anew": HERE
    + "test_drift_real.py::test_a_reconfigured_clone_is_made_anew_where_the_backend_says_so",
    "Orphan": HERE + "test_changes_real.py::test_an_orphan_stays_with_its_disks_and_what_they_stand_on_and_is_nobodys",
    "retry": HERE + "test_retries_real.py::test_attempts_that_are_used_up_wait_for_a_person",
    "timeouts": HERE + "test_retries_real.py::test_disks_that_take_longer_than_they_may_are_told_and_waited_for",
    "timeouts, begun anew": HERE
    + "test_retries_real.py::test_a_clone_that_took_too_long_is_begun_anew_when_its_replica_is_deleted",
    "partial failure": HERE + "test_changes_real.py::test_one_clone_whose_name_is_taken_does_not_hold_up_the_others",
    "a session as source": HERE + "test_changes_real.py::test_a_session_is_cloned_with_all_that_was_done_on_it",
    "cloneOfClones": HERE + "test_changes_real.py::test_without_the_owners_word_a_session_is_not_cloned",
    "SessionConflict": HERE
    + "test_changes_real.py::test_the_second_of_two_wishes_with_one_session_makes_nothing_and_names_the_first",
    "deletion in any order, with the operator down": HERE
    + "test_drift_real.py::test_deleted_in_any_order_with_the_operator_down_nothing_is_left",
    "deletion with the CloneBackend first": HERE + "test_drift_real.py::"
    "test_a_wish_whose_backend_was_deleted_first_says_so_and_leaves_nothing_once_that_is_back",
    "a namespace deleted with the operator down": LEADING
    + "test_api_server_away.py::test_a_namespace_deleted_with_the_operator_down_goes_once_one_starts",
}
OWNERSHIP = {
    "stamps with the incarnation": HERE + "test_ownership_real.py::test_a_clone_with_another_stamp_is_never_touched",
    "a stranger in the way": HERE + "test_ownership_real.py::test_a_strangers_vm_in_the_way_is_named_and_left_alone",
    "the admission policy": "integration/chart/test_1_running.py::test_people_may_not_create_replicas",
    "what people may change on a replica": "integration/chart/test_1_running.py::"
    "test_what_people_may_change_on_a_replica",
    "a VM that was left behind": HERE
    + "test_drift_real.py::test_a_vm_that_was_left_behind_is_reported_and_goes_when_an_administrator_names_it",
    "files that nobody has": HERE + "test_restores_real.py::"
    "test_files_of_a_vm_that_is_gone_and_then_its_frozen_point_go_when_they_are_named",
    "a restored wish finds its VMs": HERE + "test_restores_real.py::"
    "test_a_restored_wish_goes_on_with_its_vms_and_takes_all_along_when_it_goes",
}
CONNECTIONS = {
    "local": CONTRACT + "test_sources.py::test_backend_says_who_it_is",
    "qemu+ssh": HERE + "test_ssh_real.py::test_everything_works_over_ssh",
    "qemu+tls, and a restart of libvirtd in mid-work": HERE
    + "test_restarts_real.py::test_a_libvirtd_that_restarts_at_work_costs_nobody_a_vm",
    "a slow host delays nobody": HERE
    + "test_connections_real.py::test_a_libvirtd_that_hangs_delays_nobody_else_and_is_used_again_when_it_goes_on",
    "a dead host delays nobody": HERE
    + "test_connections_real.py::test_a_host_that_takes_every_connection_and_never_answers_delays_nobody_else",
}
LEADERS = {
    "takeover after a kill": LEADING + "test_leaders.py::test_takeover_after_a_kill",
    "takeover on a rollout": LEADING + "test_leaders.py::test_takeover_on_a_rollout",
    "a paused process that wakes up": LEADING + "test_leaders.py::test_both_believe_they_lead",
    "the API server away": LEADING + "test_api_server_away.py::test_an_api_server_that_is_away_for_longer_than_a_lease",
    "two make": HERE + "test_two_leaders_real.py::test_a_clone_that_two_operators_make_is_one_whole_clone",
    "two remove": HERE
    + "test_two_leaders_real.py::test_a_clone_that_two_operators_remove_is_gone_and_its_sibling_stays",
    "two freeze": HERE
    + "test_two_leaders_real.py::test_a_source_that_two_operators_freeze_has_whole_frozen_points_only",
}
CRASHES = {
    "killed or cut off at every write": CONTRACT
    + "test_libvirt_crashes.py::test_a_fault_at_any_write_changes_nothing_in_the_end",
    "deleted at every write": CONTRACT + "test_libvirt_crashes.py::test_deleted_at_any_write_a_vmclone_leaves_nothing",
}
SIMULATED = {
    "a virtual TPM of a running source": UNIT
    + "providers/libvirt/test_source_xml.py::test_a_virtual_tpm_is_not_copied_under_a_running_guest",
    "template: labels": BEHAVIOUR
    + "test_stories_of_change.py::test_labels_of_the_template_reach_replicas_and_a_change_of_them_remakes_nothing",
    "never frozen over 5 s, at every write": CRASH
    + "test_crash_matrix.py::test_a_fault_at_any_external_call_changes_nothing_in_the_end",
    "random fault schedules": CRASH + "test_random_faults.py::test_every_random_story_converges_and_stays",
    "planted bugs": CRASH + "test_random_mutations.py::test_at_least_ten_planted_bugs_are_found_by_random_stories",
    "the provider away": BEHAVIOUR + "test_stories_of_faults.py::"
    "test_ten_minutes_without_the_provider_cost_nothing_and_are_caught_up_with_in_a_minute",
    "a silent watch": BEHAVIOUR
    + "test_stories_of_absence.py::test_what_a_silent_watch_never_told_is_found_within_ten_minutes",
    "a 410 gap": BEHAVIOUR + "test_stories_of_absence.py::test_what_a_410_gap_swallowed_is_found_within_ten_minutes",
    "status, finalizers and labels wiped": BEHAVIOUR + "test_stories_of_absence.py::"
    "test_everything_wiped_at_once_is_rebuilt_within_thirty_seconds_and_no_vm_is_made",
}
PROMISES = {
    **SOURCES,
    **DISKS,
    **GUESTS,
    **PLANS,
    **CHANGES,
    **OWNERSHIP,
    **CONNECTIONS,
    **LEADERS,
    **CRASHES,
    **SIMULATED,
}


@cache
def _tests_in(file: str) -> frozenset[str]:
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("promise", PROMISES)
def test_a_promise_has_a_test_of_that_name(promise: str) -> None:
    file, _, name = PROMISES[promise].partition("::")
    assert name in _tests_in(file)
