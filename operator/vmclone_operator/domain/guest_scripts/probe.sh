# Read-only. Answers key=value lines between vmclone-probe=1 and end=1; later phases of a clone's life
# ask for more. A process costs 0.1 s and up in an emulated guest, so: builtins and files first.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
run=/run/vmclone/identity
lib=/var/lib/vmclone/identity

first_line() {
  value=
  [ ! -r "$1" ] || IFS= read -r value <"$1" || :
}

boot_phase() {
  if [ ! -d /run/systemd/system ]; then
    echo system=unsupported
    return
  fi
  if [ -e "$run/token" ] && worker_alive; then
    # It began once the system had booted, and systemctl would take the CPU away that it needs.
    echo system=running
    echo cloud_init=done
    return
  fi
  if [ -e /run/cloud-init/enabled ] && [ ! -e /run/cloud-init/result.json ]; then
    # A part of the boot, so the boot goes on: systemctl would take its CPU away to say the same.
    state=starting cloud_init=running
  else
    state=$(systemctl is-system-running 2>/dev/null) cloud_init='done'
  fi
  echo "system=${state:-unknown}"
  echo "cloud_init=$cloud_init"
  case $state in
    initializing | starting) network_waits ;;
  esac
}

network_waits() {
  for root in /sys/fs/cgroup /sys/fs/cgroup/systemd; do
    for unit in "$root"/system.slice/*-wait-online*.service "$root"/system.slice/*.slice/*-wait-online@*.service; do
      [ ! -d "$unit" ] || echo "network_wait=${unit##*/}"
    done
  done
}

# A worker is alive exactly as long as its unit has a control group; a killed one leaves only its token.
worker_alive() {
  [ -d /sys/fs/cgroup/system.slice/vmclone-identity.service ] ||
    [ -d /sys/fs/cgroup/systemd/system.slice/vmclone-identity.service ]
}

identity_phase() {
  first_line /proc/sys/kernel/hostname
  echo "hostname=$value"
  first_line /etc/machine-id
  echo "machine_id=$value"
  identity_state=none
  if [ -e "$run/token" ] && worker_alive; then
    first_line "$run/token"
    echo "identity_token=$value"
    identity_state=running
    echo "identity_state=running"
    [ ! -e "$run/scrub_posix" ] || echo scrub_state=running
  elif [ -r "$lib/result" ]; then
    while IFS= read -r line; do
      case $line in
        identity_state=*) identity_state=${line#*=} ;;
        reboot_from=*)
          first_line /proc/sys/kernel/random/boot_id
          [ "$value" != "${line#*=}" ] || echo needs_reboot=yes
          continue
          ;;
      esac
      printf '%s\n' "$line"
    done <"$lib/result"
  fi
}

# One that is wanted at boot but does not run is a fault, one that is switched off is not.
sshd_expected() {
  [ -x /usr/sbin/sshd ] || return 1
  for name in ssh sshd; do
    [ ! -d "/sys/fs/cgroup/system.slice/$name.service" ] || return 0
    [ ! -e "/etc/systemd/system/multi-user.target.wants/$name.service" ] || return 0
    [ ! -e "/etc/systemd/system/sockets.target.wants/$name.socket" ] || return 0
  done
  return 1
}

sshd_port() {
  port=22
  for file in /etc/ssh/sshd_config /etc/ssh/sshd_config.d/*.conf; do
    [ -r "$file" ] || continue
    while read -r key number _; do
      case $key in
        [Pp][Oo][Rr][Tt]) port=$number && return ;;
      esac
    done <"$file"
  done
}

# What the running daemons say, not what stands in their files.
daemons_phase() {
  if sshd_expected; then
    echo ssh_server=yes
    sshd_port
    ssh-keyscan -T 10 -t ed25519 -p "$port" 127.0.0.1 2>/dev/null </dev/null | while read -r _ kind key _; do
      echo "ssh_host_key=$kind $key"
    done
  fi
  if [ -d /run/systemd/journal ]; then
    # journalctl looks only under /etc/machine-id's own directory, and journald writes the id it started with.
    echo "journal_machine_id=$(journalctl -q -n 1 -o cat --output-fields=_MACHINE_ID 2>/dev/null </dev/null)"
  fi
}

# Whose first home copy was done: copy_access.sh wrote it down.
home_phase() {
  first_line /var/lib/vmclone/home-copied
  [ -z "$value" ] || echo "home_copied=$value"
}

echo vmclone-probe=1
boot_phase
identity_phase
if [ "$identity_state" = "done" ]; then
  daemons_phase
  home_phase
fi
echo end=1
