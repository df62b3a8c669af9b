#!/bin/sh
# `region_name` of a cloud in clouds.yaml, OS_REGION_NAME, and another region as an argument.
#
# Versions: openstacksdk 4.22.0.
# Guess:    clouds.yaml has the default; OS_REGION_NAME overrides it, and an argument overrides
#           both.
# Seen:     OS_REGION_NAME is ignored, without a word, for every cloud that is named. An argument
#           is refused ("not a valid region name"), unless it is the one of clouds.yaml: a
#           `region_name` makes the list of all regions. With `regions:` an argument of that list
#           works, and OS_REGION_NAME is ignored, too.
# Matters:  a script that loops over regions by the environment asks the same region each time.
# Needs Python 3.9 or later. Exit code 1: it has changed.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet openstacksdk==4.22.0
cat >clouds.yaml <<'YAML'
clouds:
  one:
    region_name: DFW
    auth: {auth_url: "https://identity.example.org/v3", username: u, password: p, project_name: x}
  several:
    regions: [DFW, ORD]
    auth: {auth_url: "https://identity.example.org/v3", username: u, password: p, project_name: x}
YAML
cat >region.py <<'END_OF_PROGRAM'
import sys
from openstack.config import OpenStackConfig
from openstack.exceptions import ConfigException

cloud, *region = sys.argv[1:]
try:
    config = OpenStackConfig(config_files=["clouds.yaml"])
    print(config.get_one(cloud=cloud, **dict(zip(["region_name"], region))).region_name)
except ConfigException as error:
    print(str(error).partition(".")[0])
END_OF_PROGRAM
failed=0
# WHAT EXPECTED SEEN
same() {
    printf '%s:\n%s\n\n' "$1" "$3"
    [ "$2" = "$3" ] || { printf 'changed, it was:\n%s\n\n' "$2" && failed=1; }
}
export OS_REGION_NAME=ORD
same "region_name: DFW, OS_REGION_NAME=ORD" DFW "$(venv/bin/python region.py one)"
same "region_name: DFW, argument ORD" "Region ORD is not a valid region name for cloud one" \
    "$(venv/bin/python region.py one ORD)"
same "regions: [DFW, ORD], OS_REGION_NAME=ORD" DFW "$(venv/bin/python region.py several)"
same "regions: [DFW, ORD], argument ORD" ORD "$(venv/bin/python region.py several ORD)"
exit "$failed"
