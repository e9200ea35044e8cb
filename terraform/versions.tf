# One provider. Version 6 would change: `region` per resource, `aws_region.name` -> `region`, and drop deprecated
# arguments; nothing here uses what it dropped except data.aws_region.current.name (outputs.tf, locals.tf).
terraform {
  # 1.11 brought write-only arguments: no secret of this configuration reaches the state.
  required_version = ">= 1.11.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100.0, < 6.0.0"
    }
  }

  # State holds no secret, but it is the map of the deployment: keep it in a bucket (docs/how-to/deploy.md).
  # backend "s3" {}
}

provider "aws" {
  region = var.region

  default_tags {
    tags = {
      Project     = var.project_id
      Environment = var.unique_id
      ManagedBy   = "terraform"
    }
  }
}
