"""Permissions that the handlers of a resource type name, and that nobody needs to grant here, each with its reason.

A handler names what any use of its type may need. The reason is the property that needs it: as soon as a template sets
that property, the judge asks for the permission.
"""

UNUSED: dict[str, dict[str, tuple[str, ...]]] = {
    "AWS::ApiGateway::RestApi": {"Policy": ("apigateway:UpdateRestApiPolicy",)},
    "AWS::Budgets::Budget": {"BillingViewArn": ("billing:GetBillingViewData",)},
    "AWS::CodeDeploy::DeploymentGroup": {"OnPremisesTagSet": ("codedeploy:RegisterOnPremisesInstance",)},
    "AWS::CodePipeline::Pipeline": {
        "DisableInboundStageTransitions": ("codepipeline:DisableStageTransition", "codepipeline:EnableStageTransition"),
        "RestartExecutionOnUpdate": ("codepipeline:StartPipelineExecution",),
    },
    "AWS::IAM::Role": {"PermissionsBoundary": ("iam:PutRolePermissionsBoundary", "iam:DeleteRolePermissionsBoundary")},
    "AWS::Lambda::Function": {
        "CapacityProviderConfig": ("lambda:PassCapacityProvider",),
        "CodeSigningConfigArn": (
            "lambda:DeleteFunctionCodeSigningConfig",
            "lambda:GetCodeSigningConfig",
            "lambda:PutFunctionCodeSigningConfig",
        ),
        "FileSystemConfigs": ("elasticfilesystem:DescribeMountTargets",),
        "FunctionScalingConfig": ("lambda:PutFunctionScalingConfig",),
        "KmsKeyArn": ("kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey"),
        "Layers": ("lambda:GetLayerVersion",),
        "PublishToLatestPublished": ("lambda:PublishVersion",),
        "RecursiveLoop": ("lambda:PutFunctionRecursionConfig",),
        "RuntimeManagementConfig": ("lambda:PutRuntimeManagementConfig",),
        "VpcConfig": (
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeSecurityGroups",
            "ec2:DescribeSubnets",
            "ec2:DescribeVpcs",
        ),
    },
    "AWS::Lambda::Alias": {
        "ProvisionedConcurrencyConfig": (
            "lambda:DeleteProvisionedConcurrencyConfig",
            "lambda:GetProvisionedConcurrencyConfig",
            "lambda:PutProvisionedConcurrencyConfig",
        ),
    },
    "AWS::Lambda::EventSourceMapping": {"KmsKeyArn": ("kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey")},
    "AWS::Lambda::Version": {
        "FunctionScalingConfig": ("lambda:GetFunctionScalingConfig", "lambda:PutFunctionScalingConfig"),
        "ProvisionedConcurrencyConfig": (
            "lambda:GetProvisionedConcurrencyConfig",
            "lambda:PutProvisionedConcurrencyConfig",
        ),
        "RuntimePolicy": ("lambda:GetRuntimeManagementConfig", "lambda:PutRuntimeManagementConfig"),
    },
    "AWS::Logs::LogGroup": {
        "BearerTokenAuthenticationEnabled": ("logs:PutBearerTokenAuthentication",),
        "DataProtectionPolicy": (
            "firehose:TagDeliveryStream",
            "logs:CreateLogDelivery",
            "logs:DeleteDataProtectionPolicy",
            "logs:PutDataProtectionPolicy",
        ),
        "DeletionProtectionEnabled": ("logs:PutLogGroupDeletionProtection",),
        "FieldIndexPolicies": ("logs:DeleteIndexPolicy", "logs:PutIndexPolicy"),
        "KmsKeyId": ("logs:AssociateKmsKey", "logs:DisassociateKmsKey"),
        "ResourcePolicyDocument": ("logs:DeleteResourcePolicy", "logs:PutResourcePolicy"),
    },
    "AWS::S3::Bucket": {
        "": ("s3:DeleteObject",),  # whatever sets the property: a bucket is made and deleted empty
        "AbacStatus": ("s3:PutBucketAbac",),
        "AccelerateConfiguration": ("s3:PutAccelerateConfiguration",),
        "AccessControl": ("s3:PutBucketAcl", "s3:PutObjectAcl"),  # of buckets without BucketOwnerEnforced
        "AnalyticsConfigurations": ("s3:PutAnalyticsConfiguration",),
        "CorsConfiguration": ("s3:PutBucketCORS",),
        "IntelligentTieringConfigurations": ("s3:PutIntelligentTieringConfiguration",),
        "InventoryConfigurations": ("s3:PutInventoryConfiguration",),
        "LoggingConfiguration": ("s3:PutBucketLogging",),
        "MetadataTableConfiguration": (
            "s3:CreateBucketMetadataTableConfiguration",
            "s3:DeleteBucketMetadataTableConfiguration",
            "s3:UpdateBucketMetadataInventoryTableConfiguration",
            "s3:UpdateBucketMetadataJournalTableConfiguration",
            "s3tables:CreateNamespace",
            "s3tables:CreateTable",
            "s3tables:CreateTableBucket",
            "s3tables:GetTable",
            "s3tables:GetTableMetadataLocation",
            "s3tables:PutTableBucketPolicy",
            "s3tables:PutTableEncryption",
            "s3tables:PutTablePolicy",
            "s3tables:UpdateTableMetadataLocation",
        ),
        "MetricsConfigurations": ("s3:PutMetricsConfiguration",),
        "NotificationConfiguration": ("s3:PutBucketNotification",),
        "ObjectLockEnabled": ("s3:PutBucketObjectLockConfiguration",),
        "ReplicationConfiguration": ("iam:PassRole", "s3:PutReplicationConfiguration"),
        "Tags": ("s3:PutBucketTagging", "s3:TagResource", "s3:UntagResource"),
        "VersioningConfiguration": ("s3:PutBucketVersioning",),
        "WebsiteConfiguration": ("s3:DeleteBucketWebsite", "s3:PutBucketWebsite"),
    },
    "AWS::SNS::Topic": {
        "DataProtectionPolicy": ("sns:PutDataProtectionPolicy",),
        "DeliveryStatusLogging": ("iam:GetRole",),
    },
    "AWS::StepFunctions::StateMachine": {
        "EncryptionConfiguration": ("kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"),
    },
}
# What a type without published handlers needs, by AWS's documentation of its API.
UNPUBLISHED: dict[str, tuple[str, ...]] = {
    "AWS::CodeBuild::Project": (
        "codebuild:BatchGetProjects",
        "codebuild:CreateProject",
        "codebuild:DeleteProject",
        "codebuild:UpdateProject",
        "iam:PassRole",
    ),
}
# What the deploying role lacks on purpose: (resource, action) and why.
LEFT_OUT = {("ModelStoreBucketPolicy", "s3:PutBucketPolicy"): "notebook 04 shows the refusal and adds it"}
