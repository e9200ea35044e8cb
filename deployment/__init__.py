"""Deploys Sparkle from inside an AWS account: builds the images, migrates, connects Discord.

AWS CodeBuild runs `python -m deployment STEP ...` (buildspec.yml) with the source that `./dev package` packed;
terraform/ starts it. The operator's `./dev doctor` and `./dev deploy` use the same modules.
"""
